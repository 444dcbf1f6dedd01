// Policies: the bundle in force, how it came to be, what it would say, and changing it.

import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { Link } from "wouter";

import { bundle } from "../../api/queries";
import { useDraft } from "../../lib/draft";
import { Bones, Head, Note } from "../../parts/Page";
import { may, useMe } from "../../parts/who";
import Nowhere from "../Nowhere";
import { FilesPage } from "./Files";
import { Version, Versions } from "./Versions";

import "../../style/code.css";

const Edit = lazy(() => import("./Edit"));
const TryIt = lazy(() => import("./TryIt"));

export default function Policies({ part, which }: { part: string | undefined; which: string | undefined }) {
  const inForce = useQuery(bundle).data;
  const me = useMe();
  const draft = useDraft(me.principal);
  const shown = page(part, which);
  if (!shown) return <Nowhere />;
  const ways: readonly (readonly [string | undefined, string])[] = [
    [undefined, "Files"], ["try", "Try it"], ["versions", "Versions"],
    ["edit", may(me, "policy.apply") ? "Edit" : "What if"],
  ];
  return (
    <>
      <Head title="Policies">
        {inForce
          ? <>Version {inForce.version} of <b>{inForce.name}</b>: {count(inForce.rules, "approval rule")}, {count(inForce.roles, "role")}, {count(inForce.resources, "resource")}, {count(inForce.principals, "principal")}.</>
          : "Who there is, what is protected, who may do what, and who must say yes."}
      </Head>
      <nav className="parts-of" aria-label="Parts of policies">
        {ways.map(([to, label]) => (
          <Link key={label} href={to ? `/policies/${to}` : "/policies"} aria-current={to === part ? "page" : undefined}>
            {label}{to === "edit" && draft && <span className="quiet"> (a draft)</span>}
          </Link>
        ))}
      </nav>
      {draft && inForce && draft.base !== inForce.id && part !== "versions" && (
        <div style={{ marginBottom: 18 }}><Note tone="warn"><b>The bundle has changed since your draft was begun.</b> What you apply replaces all of it: look at the differences first.</Note></div>
      )}
      <Suspense fallback={<Bones rows={2} height={240} />}>{shown}</Suspense>
    </>
  );
}

const count = (n: number, noun: string): string => `${n.toLocaleString()} ${noun}${n === 1 ? "" : "s"}`;

function page(part: string | undefined, which: string | undefined) {
  if (part === undefined) return <FilesPage />;
  if (part === "versions") return which === undefined ? <Versions /> : <Version id={which} />;
  if (which !== undefined) return undefined;
  if (part === "try") return <TryIt />;
  if (part === "edit") return <Edit />;
  return undefined;
}
