// The word itself: yes, no, or never mind. A yes names the digest of what was on the screen, so that it counts for
// nothing else.

import { Button, Kbd } from "@mantine/core";
import { IconCheck, IconFingerprint, IconX } from "@tabler/icons-react";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";

import { api, body, type Request, type Schemas } from "../api/client";
import { forget } from "../api/live";
import { useKeys, useKeysOn } from "../lib/keys";
import { show } from "../lib/passkeys";
import { wants } from "../lib/words";
import { useConfirm } from "./Confirm";
import { Terms, type Yes } from "./Terms";
import { failed, said } from "./toast";

/** For how long after a request came up a key does not answer it: it may have been meant for the one before. */
const SETTLE_MS = 600;

export function Answer({ of, keys, after }: { of: Request; keys: boolean; after?: () => void }) {
  const client = useQueryClient();
  const { ask, confirm } = useConfirm();
  const [busy, setBusy] = useState(false);
  const [terms, setTerms] = useState(false);
  const since = useRef(0);
  useEffect(() => {
    since.current = performance.now();
  }, [of.id, of.digest]);

  const send = async (call: () => Promise<unknown>, done: string, more?: string): Promise<void> => {
    setBusy(true);
    try {
      await call();
      said(done, more);
      after?.();
    } catch (error) {
      failed(error as Error);
    } finally {
      forget(client, ["requests", "grants"]);
      setBusy(false);
    }
  };
  const path = { path: { id: of.id } };
  const who = `${of.by.display} ${wants(of)}`;
  // What the passkey signs follows from the digest that was on the screen and from what is said with the yes: a request that
  // has moved on is refused.
  const signed = async ({ comment: _, ...terms }: Yes): Promise<{ assertion?: Schemas["PasskeyShown"] }> => {
    if (!of.signed) return {};
    const asked = await body(api.POST("/requests/{id}/signature", { params: path, body: { digest: of.digest, ...terms } }));
    return { assertion: await show(asked, asked.credentials) };
  };
  const approve = (yes: Yes = {}): Promise<void> =>
    send(
      async () => api.POST("/requests/{id}/approve", { params: path, body: { digest: of.digest, ...yes, ...await signed(yes) } }),
      of.signed ? "You signed a yes" : "You said yes", who);
  const deny = (comment: string): Promise<void> =>
    send(() => api.POST("/requests/{id}/deny", { params: path, body: comment ? { comment } : {} }), "You said no", who);

  const askDeny = (): void =>
    ask({
      title: "Deny this request", label: "Deny", danger: true, run: deny,
      reason: { label: "Comment", description: `${of.by.display} reads it in their own tool` },
    });
  const withdraw = (): void =>
    ask({
      title: "Withdraw your request?", label: "Withdraw", danger: true,
      children: of.kind === "action" ? "The statement that waits is cancelled." : "Nobody is asked any longer.",
      run: () => send(() => api.POST("/requests/{id}/withdraw", { params: path }), "Withdrawn"),
    });

  const settled = (): boolean => !busy && performance.now() - since.current > SETTLE_MS;
  useKeys({
    a: () => of.can.approve && settled() && void approve(),
    d: () => of.can.deny && settled() && askDeny(),
  }, keys);

  const hint = useKeysOn() && keys;
  if (!of.can.approve && !of.can.deny && !of.can.withdraw) return confirm;
  return (
    <>
      <div className="verdict" role="group" aria-label="Your answer">
        {of.can.deny && (
          <Button variant="default" color="brick" size="md" leftSection={<IconX size={18} />} disabled={busy} onClick={askDeny}
            rightSection={hint && <Kbd size="xs" visibleFrom="lg">d</Kbd>}>
            Deny
          </Button>
        )}
        {of.can.approve && (
          <Button size="md" leftSection={of.signed ? <IconFingerprint size={18} /> : <IconCheck size={18} />} loading={busy} onClick={() => void approve()}
            rightSection={hint && <Kbd size="xs" visibleFrom="lg">a</Kbd>}>
            {of.signed ? "Approve with your passkey" : "Approve"}
          </Button>
        )}
        {of.can.approve && <Button className="push" variant="subtle" size="md" disabled={busy} onClick={() => setTerms(true)}>With terms</Button>}
        {of.can.withdraw && <Button variant="default" size="md" disabled={busy} onClick={withdraw}>Withdraw</Button>}
      </div>
      {confirm}
      <Terms of={of} open={terms} close={() => setTerms(false)} run={approve} />
    </>
  );
}
