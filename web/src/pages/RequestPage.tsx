// One request. Links in terminals lead here, for whoever asked and for whoever is asked.

import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";

import type { Request } from "../api/client";
import { grants, request } from "../api/queries";
import { Answer } from "../parts/Answer";
import { Command } from "../parts/Bits";
import { MintButton } from "../parts/Credential";
import { Bones, Note, Reading, useTitle } from "../parts/Page";
import { RequestView, title } from "../parts/RequestView";
import { Left } from "../parts/Time";
import { useMe } from "../parts/who";

export default function RequestPage({ id }: { id: string }) {
  const one = useQuery(request(id));
  return (
    <div style={{ maxWidth: 860 }}>
      <Reading of={one} bones={<Bones rows={3} height={150} />}>
        {(of) => <Shown of={of} />}
      </Reading>
    </div>
  );
}

function Shown({ of }: { of: Request }) {
  const me = useMe();
  const heading = useTitle(title(of));
  const mine = of.by.name === me.principal;
  return (
    <div className="stack">
      {mine && <Mine of={of} />}
      <div className="sheet pad">
        <RequestView of={of} heading={<h1 ref={heading} tabIndex={-1}>{title(of)}</h1>}>
          <Answer of={of} keys />
        </RequestView>
      </div>
    </div>
  );
}

function Mine({ of }: { of: Request }) {
  if (of.state === "pending") {
    return (
      <Note>
        <b>Waiting{of.missing ? ` for ${of.missing.replaceAll("group:", "group ")}` : ""}.</b> This page shows the answer as soon as it is given.
      </Note>
    );
  }
  if (of.kind !== "access") return null;
  if (of.state === "approved") return <Held of={of} />;
  const again = `/ask?role=${encodeURIComponent(of.role ?? "")}&reason=${encodeURIComponent(of.reason ?? "")}`;
  return <div><Button component={Link} href={again} variant="default">Ask again</Button></div>;
}

function Held({ of }: { of: Request }) {
  const held = useQuery(grants({ mine: true, state: "live" })).data?.find((grant) => grant.request === of.id);
  if (!held) return null;
  return (
    <div className="sheet pad stack">
      <p>You hold <b>{held.role}</b> for <Left until={held.not_after} sign={false} /></p>
      {held.resources.map((resource) => (
        <div key={resource} className="stack" style={{ gap: 10 }}>
          <Command text={`countersign connect ${resource}`} what="the command" />
          <div><MintButton resource={resource} /></div>
        </div>
      ))}
    </div>
  );
}
