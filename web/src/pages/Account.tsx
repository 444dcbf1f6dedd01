// One's own account: where one is signed in, and what stands beside the password.

import { Button } from "@mantine/core";
import { IconDeviceMobile, IconLockOff, IconShieldCheck } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";
import { authenticators, signIns } from "../api/queries";
import { means, program } from "../lib/programs";
import { Blank, Bones, Head, Note, Reading } from "../parts/Page";
import { useConfirm } from "../parts/Confirm";
import { Codes, TotpDialog } from "../parts/Totp";
import { Ago, Left } from "../parts/Time";
import { failed, said } from "../parts/toast";
import { useMe } from "../parts/who";

type LiveSignIn = Schemas["LiveSignIn"];
type Authenticator = Schemas["Authenticator"];

export default function Account() {
  const me = useMe();
  return (
    <>
      <Head title="Account">
        {me.name}, known here as <code>{me.principal}</code>.
      </Head>
      <SecondFactor />
      <SignIns />
    </>
  );
}

function SecondFactor() {
  const list = useQuery(authenticators);
  const client = useQueryClient();
  const { ask, confirm } = useConfirm();
  const [binding, setBinding] = useState(false);
  const [codes, setCodes] = useState<readonly string[]>();
  const again = (): void => void client.invalidateQueries({ queryKey: ["authenticators"] });
  const shown = (made: readonly string[]): void => {
    setBinding(false);
    setCodes(made);
    again();
  };
  const remove = (one: Authenticator): void => ask({
    title: "Remove the authenticator app?", label: "Remove", danger: true,
    children: "Your password alone signs you in then, and your recovery codes count no more. What policy asks of a second factor, you can no longer do.",
    run: async () => {
      try {
        await api.POST("/me/authenticators/{id}/remove", { params: { path: { id: one.id } } });
        said("The authenticator app is removed");
      } catch (error) {
        failed(error as Error);
      }
      again();
    },
  });
  const renew = (): void => ask({
    title: "Make new recovery codes?", label: "Make new codes", children: "The codes that you have kept count no more.",
    run: async () => {
      try {
        const { data } = await api.POST("/me/recovery-codes");
        if (data) shown(data.recovery_codes);
      } catch (error) {
        failed(error as Error);
      }
    },
  });
  return (
    <section aria-labelledby="second-factor">
      <h2 id="second-factor">Beside your password</h2>
      <Reading of={list} bones={<Bones rows={1} height={72} />}>
        {(items) => items.length === 0 ? (
          <div className="sheet">
            <Blank icon={IconLockOff} title="Your password is all there is">
              An authenticator app on your phone makes a code for each sign-in. Whoever learns your password cannot use it then.
            </Blank>
            <div className="row" style={{ justifyContent: "center", paddingBottom: 20 }}>
              <Button onClick={() => setBinding(true)}>Set up an authenticator app</Button>
            </div>
          </div>
        ) : (
          <div className="sheet">
            <table className="grid fold">
              <thead>
                <tr><th>What</th><th>Bound</th><th>Used</th><th className="end"><span className="unseen">What you can do</span></th></tr>
              </thead>
              <tbody>
                {items.map((one) => (
                  <tr key={one.id}>
                    <td data-label="What"><span><b>{means(one.means)}</b>{one.left !== undefined && <span className="small quiet" style={{ display: "block" }}>{one.left} left</span>}</span></td>
                    <td data-label="Bound"><Ago at={one.bound_at} /></td>
                    <td data-label="Used">{one.used_at ? <Ago at={one.used_at} /> : <span className="quiet">–</span>}</td>
                    <td className="end">
                      {one.means === "totp" && <Button size="xs" variant="default" onClick={() => remove(one)}>Remove</Button>}
                      {one.means === "recovery-code" && <Button size="xs" variant="default" onClick={renew}>Make new codes</Button>}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Reading>
      <TotpDialog opened={binding} close={() => setBinding(false)} bound={shown} />
      <Codes of={codes} close={() => setCodes(undefined)} />
      {confirm}
    </section>
  );
}

function SignIns() {
  const list = useQuery(signIns);
  return (
    <section aria-labelledby="sign-ins" style={{ marginTop: 32 }}>
      <h2 id="sign-ins">Where you are signed in</h2>
      <Reading of={list} bones={<Bones rows={2} height={64} />}>
        {(items) => (
          <div className="sheet">
            <table className="grid fold">
              <thead>
                <tr><th>With</th><th>From</th><th>By</th><th>Since</th><th>Ends</th><th className="end"><span className="unseen">What you can do</span></th></tr>
              </thead>
              <tbody>{items.map((one) => <Row key={one.id} of={one} />)}</tbody>
            </table>
          </div>
        )}
      </Reading>
      <Note>A sign-in ends by itself when it has not been used for a while, and after a day at the latest.</Note>
    </section>
  );
}

function Row({ of }: { of: LiveSignIn }) {
  const client = useQueryClient();
  const { ask, confirm } = useConfirm();
  const end = (): void => ask({
    title: "End this sign-in?", label: "End it", danger: true,
    children: `${program(of.program, of.via)} is signed out at once, and has to sign in again.`,
    run: async () => {
      try {
        await api.POST("/sign-ins/{id}/end", { params: { path: { id: of.id } } });
        said("The sign-in has ended");
      } catch (error) {
        failed(error as Error);
      }
      for (const name of ["sign-ins", "me"]) void client.invalidateQueries({ queryKey: [name] });
    },
  });
  const Sign = of.means.length > 1 ? IconShieldCheck : IconDeviceMobile;
  return (
    <tr>
      <td data-label="With"><span><b>{program(of.program, of.via)}</b>{of.this && <span className="small quiet" style={{ display: "block" }}>this one</span>}</span></td>
      <td data-label="From">{of.address ?? <span className="quiet">unknown</span>}</td>
      <td data-label="By"><span className="row" style={{ gap: 6, flexWrap: "nowrap" }}><Sign size={15} stroke={1.7} aria-hidden="true" />{of.means.map(means).join(", ")}</span></td>
      <td data-label="Since"><Ago at={of.signed_in_at} /></td>
      <td data-label="Ends"><Left until={of.expires_at} sign={false} /></td>
      <td className="end">
        {!of.this && <Button size="xs" variant="default" onClick={end}>End</Button>}
        {confirm}
      </td>
    </tr>
  );
}
