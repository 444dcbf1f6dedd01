// Who is at the desk decides what is shown: the sign-in page, or the page that the address names. Signing in stays on
// the address, so that a link from a terminal leads where it says.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useState } from "react";
import { Route, Switch, useLocation } from "wouter";

import { whenSignedOut } from "./api/client";
import { me } from "./api/queries";
import { SignIn } from "./pages/SignIn";
import { Bones, Fault } from "./parts/Page";
import { Shell } from "./parts/Shell";

const Home = lazy(() => import("./pages/Home"));
const Ask = lazy(() => import("./pages/Ask"));
const Inbox = lazy(() => import("./pages/Inbox"));
const Requests = lazy(() => import("./pages/Requests"));
const RequestPage = lazy(() => import("./pages/RequestPage"));
const Grants = lazy(() => import("./pages/Grants"));
const Sessions = lazy(() => import("./pages/Sessions"));
const SessionPage = lazy(() => import("./pages/SessionPage"));
const Ledger = lazy(() => import("./pages/Ledger"));
const LinePage = lazy(() => import("./pages/LinePage"));
const Accesses = lazy(() => import("./pages/Accesses"));
const Resources = lazy(() => import("./pages/Resources"));
const People = lazy(() => import("./pages/People"));
const Policies = lazy(() => import("./pages/policies/Policies"));
const Workbench = lazy(() => import("./pages/workbench/Workbench"));
const Account = lazy(() => import("./pages/Account"));
const Device = lazy(() => import("./pages/Device"));
const Authorize = lazy(() => import("./pages/Authorize"));
const LetIn = lazy(() => import("./pages/LetIn"));
const Setup = lazy(() => import("./pages/setup/Setup"));
const Invited = lazy(() => import("./pages/setup/Invited"));
const Welcome = lazy(() => import("./pages/setup/Welcome"));
const Nowhere = lazy(() => import("./pages/Nowhere"));

/** Where somebody comes to who can't be signed in yet, and where they are then. */
const BEFORE: Record<string, { Page: typeof Setup; then: string }> = {
  "/setup": { Page: Setup, then: "/welcome" },
  "/invited": { Page: Invited, then: "/" },
};

type Desk = "taken" | "empty" | "expired";

export function App() {
  const client = useQueryClient();
  const [path, go] = useLocation();
  const [desk, setDesk] = useState<Desk>("taken");
  const before = BEFORE[path];
  const who = useQuery({ ...me, enabled: desk === "taken" && !before });
  useEffect(() => {
    whenSignedOut(() => setDesk(client.getQueryData(me.queryKey) ? "expired" : "empty"));
  }, [client]);

  if (before) {
    const { Page, then } = before;
    const done = (): void => {
      client.clear();
      setDesk("taken");
      go(then, { replace: true });
    };
    return <Suspense fallback={null}><Page done={done} /></Suspense>;
  }
  if (desk !== "taken") {
    const done = (): void => {
      // Nothing of whoever was here before is left to see.
      client.clear();
      setDesk("taken");
    };
    return <SignIn ended={desk === "expired"} done={done} />;
  }
  if (who.data === undefined) {
    return (
      <main className="main">
        <h1 className="unseen">Countersign</h1>
        {who.error ? <Fault error={who.error} retry={() => void who.refetch()} /> : <Bones />}
      </main>
    );
  }
  return (
    <Shell me={who.data} key={who.data.id} left={() => setDesk("empty")}>
      <Suspense fallback={<Bones />}>
        <Switch>
          <Route path="/"><Home /></Route>
          <Route path="/sign-in"><Home /></Route>
          <Route path="/ask"><Ask /></Route>
          <Route path="/inbox"><Inbox /></Route>
          <Route path="/requests"><Requests /></Route>
          <Route path="/requests/:id">{({ id }) => <RequestPage key={id} id={id} />}</Route>
          <Route path="/grants"><Grants /></Route>
          <Route path="/sessions"><Sessions /></Route>
          <Route path="/sessions/:id">{({ id }) => <SessionPage key={id} id={id} />}</Route>
          <Route path="/ledger"><Ledger /></Route>
          <Route path="/ledger/:seq">{({ seq }) => <LinePage key={seq} seq={seq} />}</Route>
          <Route path="/accesses"><Accesses /></Route>
          <Route path="/resources/:part?">{({ part }) => <Resources part={part} />}</Route>
          <Route path="/people"><People /></Route>
          <Route path="/device"><Device /></Route>
          <Route path="/let-in"><LetIn /></Route>
          <Route path="/authorize"><Authorize /></Route>
          <Route path="/policies/:part?/:which?">{({ part, which }) => <Policies part={part} which={which} />}</Route>
          <Route path="/sql/:resource?">{({ resource }) => <Workbench resource={resource} />}</Route>
          <Route path="/welcome"><Welcome /></Route>
          <Route path="/account"><Account /></Route>
          <Route><Nowhere /></Route>
        </Switch>
      </Suspense>
    </Shell>
  );
}
