// Letting in a program at one resource: it brought the browser here, and hears the answer where it said (OAuth 2.1).

import { Button, NativeSelect } from "@mantine/core";
import { IconPlugConnected } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";

import { api, body, Problem, type Schemas } from "../api/client";
import { Facts } from "../parts/Bits";
import { Bones, Fault, Head, Note } from "../parts/Page";
import { Left } from "../parts/Time";
import { useMe } from "../parts/who";

type Request = Schemas["AuthorizationRequest"];
type Asked = Schemas["AuthorizationAsked"];

const NAMES = ["client_id", "redirect_uri", "response_type", "code_challenge", "code_challenge_method", "resource", "scope", "state"] as const;

/** What the program asks for, in the address. Nothing if something is there twice: of two, others might read the other. */
function requested(): Request | undefined {
  const query = new URLSearchParams(location.search);
  const said = NAMES.map((name) => [name, query.getAll(name)] as const);
  if (said.some(([, values]) => values.length > 1)) return undefined;
  const { client_id, redirect_uri, ...rest } = Object.fromEntries(said.flatMap(([name, [value]]) => (value ? [[name, value]] : [])));
  return client_id && redirect_uri ? { client_id, redirect_uri, ...rest } : undefined;
}

/** To where the gateway says that this program is told, which is a page or this very computer. */
function leave(to: string): void {
  if (/^https?:\/\//.test(to)) location.replace(to);
}

export default function Authorize() {
  const [request] = useState(requested);
  return (
    <>
      <Head title="Let a program in">It asks to use one resource in your name.</Head>
      {request ? <Look at={request} /> : <Note>This link is not complete. Begin again in the program that led you here.</Note>}
    </>
  );
}

function Look({ at }: { at: Request }) {
  const asked = useQuery({
    queryKey: ["authorize", at], retry: false, staleTime: Infinity, refetchOnWindowFocus: false,
    queryFn: () => body(api.POST("/me/client", { body: at })),
  });
  if (asked.data) return <Ask of={asked.data} request={at} />;
  if (!asked.error) return <Bones rows={2} height={120} />;
  return <Wrong error={asked.error} />;
}

function Wrong({ error }: { error: Error }) {
  const back = error instanceof Problem ? error.link : undefined;
  return (
    <div className="stack">
      <Fault error={error} />
      {back && <div className="row"><Button variant="default" onClick={() => leave(back)}>Back to the program</Button></div>}
    </div>
  );
}

/** Which role is chosen at first: the one that is asked for, or any. */
const ANY = "";

function Ask({ of, request }: { of: Asked; request: Request }) {
  const me = useMe();
  const [whose, setWhose] = useState(of.actors[0]?.principal ?? me.id);
  const [role, setRole] = useState(of.role ?? ANY);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const actor = of.actors.find((one) => one.principal === whose);
  const grants = actor?.grants ?? [];
  const chosen = grants.find((one) => one.role === role);
  const answer = async (allow: boolean): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      const said = allow ? { principal: whose, ...(role && { role }) } : {};
      const { redirect_to } = await body(api.POST("/me/client/answer", { body: { request, allow, ...said } }));
      leave(redirect_to);
    } catch (refused) {
      setError(refused as Error);
      setBusy(false);
    }
  };
  if (error) return <Wrong error={error} />;
  const roles = [...new Set([...grants.map((one) => one.role), ...(of.role ? [of.role] : [])])];
  return (
    <div className="sheet pad stack">
      <p className="row"><IconPlugConnected size={22} stroke={1.7} aria-hidden="true" /><span>A program that calls itself <b><bdi>{of.client}</bdi></b> asks to use <b>{of.resource}</b> in your name.</span></p>
      <Facts of={[
        ["Resource", <>{of.title} <span className="quiet">({of.resource}, impact {of.impact})</span></>],
        ["Answer goes to", of.here ? "a program on this computer" : <span className="mono"><bdi>{of.host}</bdi></span>],
        ["For", <><Left until={of.until} sign={false} /><span className="quiet"> at most, or until you end it under <Link href="/account">your account</Link></span></>],
      ]} />
      {!of.here && <Note tone="warn">The answer leaves this computer. Say yes only if you know <b><bdi>{of.host}</bdi></b> and have begun this there yourself.</Note>}
      <div className="row" style={{ alignItems: "flex-end", gap: 16 }}>
        {of.actors.length > 1 && (
          <NativeSelect
            label="It acts as" value={whose} onChange={(event) => setWhose(event.currentTarget.value)}
            data={of.actors.map((one) => ({ value: one.principal, label: one.agent ? `${one.principal}, your agent` : `${one.principal}, you` }))}
          />
        )}
        {roles.length > 0 && (
          <NativeSelect
            label="In the role" value={role} onChange={(event) => setRole(event.currentTarget.value)}
            data={[{ value: ANY, label: "any that reaches it" }, ...roles]}
          />
        )}
      </div>
      {grants.length === 0 ? (
        <Note>{actor?.agent ? <b>{whose}</b> : "You"} hold{actor?.agent ? "s" : ""} no live grant that reaches {of.resource}. The program can use it once there is one: <Link href="/ask">ask for it</Link>.</Note>
      ) : (
        <p className="quiet">{chosen ?? grants[0] ? <>Each use stands on a live grant: of <b>{(chosen ?? grants[0])?.role}</b> for <Left until={(chosen ?? grants[0])?.until ?? of.until} sign={false} />. </> : null}What has to be approved still waits for its approval.</p>
      )}
      <p className="quiet">Anybody can call a program so. Say yes only if you have just begun this yourself.</p>
      <div className="row">
        <Button loading={busy} onClick={() => void answer(true)}>Yes, let it in</Button>
        <Button variant="default" disabled={busy} onClick={() => void answer(false)}>No</Button>
      </div>
    </div>
  );
}
