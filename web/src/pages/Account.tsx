// One's own account: where one is signed in, and what stands beside the password.

import { Button } from "@mantine/core";
import { IconDeviceMobile, IconLockOff, IconShieldCheck } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, body, type Schemas } from "../api/client";
import { authenticators, devices, signIns } from "../api/queries";
import { hasPasskeys, make } from "../lib/passkeys";
import { means, program } from "../lib/programs";
import { Blank, Bones, Head, Reading } from "../parts/Page";
import { useConfirm } from "../parts/Confirm";
import { Devices } from "../parts/Devices";
import { Codes, TotpDialog } from "../parts/Totp";
import { Ago, Left } from "../parts/Time";
import { failed, said } from "../parts/toast";
import { useMe } from "../parts/who";

type LiveSignIn = Schemas["LiveSignIn"];
type Authenticator = Schemas["Authenticator"];

export default function Account() {
  const me = useMe();
  // Each part is as long as what it lists: they are shown together, so that none pushes the next one down.
  const readings = [useQuery(authenticators), useQuery(devices), useQuery(signIns)];
  return (
    <>
      <Head title="Account">
        {me.name}, known here as <code>{me.principal}</code>.
      </Head>
      {readings.some((one) => one.isPending) ? <Bones rows={3} height={160} /> : <><SecondFactor /><Devices /><SignIns /></>}
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
    title: one.means === "totp" ? "Remove the authenticator app?" : `Remove the passkey ${one.name ?? ""}?`, label: "Remove", danger: true,
    children: one.means === "totp"
      ? "Your recovery codes count no more then. What policy asks of a second factor, you need a passkey for."
      : "It signs you in no more. The device may still offer it; it can be taken away there too.",
    run: async () => {
      try {
        await api.POST("/me/authenticators/{id}/remove", { params: { path: { id: one.id } } });
        said(one.means === "totp" ? "The authenticator app is removed" : "The passkey is removed");
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
  const passkey = (): void => ask({
    title: "Make a passkey?", label: "Make it", reason: { label: "What to call it", description: "For example after the device that keeps it.", required: true },
    children: "Your device keeps a key and uses it only for you. It signs you in without a password.",
    run: async (name) => {
      try {
        const offer = await body(api.POST("/me/passkeys/offer"));
        await api.POST("/me/passkeys", { body: await make(offer, name.slice(0, 60)) });
        said("The passkey is yours", "It signs you in from now on.");
      } catch (error) {
        failed(error as Error);
      }
      again();
    },
  });
  const has = (items: readonly Authenticator[]): boolean => items.some((one) => one.means === "totp");
  return (
    <section aria-labelledby="second-factor">
      <h2 id="second-factor" style={{ marginBottom: 10 }}>Beside your password</h2>
      <Reading of={list} bones={<Bones rows={1} height={72} />}>
        {(items) => items.length === 0 ? (
          <div className="sheet">
            <Blank icon={IconLockOff} title="Your password is all there is">
              A passkey signs you in without it. An authenticator app makes a code for each sign-in, so that whoever learns your password cannot use it.
            </Blank>
            <div className="row" style={{ justifyContent: "center", paddingBottom: 20 }}>
              {hasPasskeys() && <Button onClick={passkey}>Make a passkey</Button>}
              <Button variant="default" onClick={() => setBinding(true)}>Set up an authenticator app</Button>
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
                    <td data-label="What"><span><b>{one.name ?? means(one.means)}</b>{one.name && <span className="small quiet" style={{ display: "block" }}>{means(one.means)}</span>}{one.left !== undefined && <span className="small quiet" style={{ display: "block" }}>{one.left} left</span>}</span></td>
                    <td data-label="Bound"><Ago at={one.bound_at} /></td>
                    <td data-label="Used">{one.used_at ? <Ago at={one.used_at} /> : <span className="quiet">–</span>}</td>
                    <td className="end">
                      {one.means !== "recovery-code" && <Button size="xs" variant="default" onClick={() => remove(one)}>Remove</Button>}
                      {one.means === "recovery-code" && <Button size="xs" variant="default" onClick={renew}>Make new codes</Button>}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
            <div className="row" style={{ padding: "12px 20px" }}>
              {hasPasskeys() && <Button size="xs" variant="default" onClick={passkey}>Make a passkey</Button>}
              {!has(items) && <Button size="xs" variant="default" onClick={() => setBinding(true)}>Set up an authenticator app</Button>}
            </div>
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
      <h2 id="sign-ins" style={{ marginBottom: 10 }}>Where you are signed in</h2>
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
      <p className="small quiet" style={{ marginTop: 10 }}>A sign-in ends by itself: when it is not used for a while, and when it has lasted as long as it may.</p>
    </section>
  );
}

function Row({ of }: { of: LiveSignIn }) {
  const client = useQueryClient();
  const { ask, confirm } = useConfirm();
  const end = (): void => ask({
    title: "End this sign-in?", label: "End it", danger: true,
    children: of.client ? `${of.client.name} can use ${of.client.resource} no more, at once, and has to be let in again.` : `${program(of.program, of.via)} is signed out at once, and has to sign in again.`,
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
  const Sign = of.means.length > 1 || of.means.includes("passkey") ? IconShieldCheck : IconDeviceMobile;
  return (
    <tr>
      <td data-label="With"><span><b>{of.client ? <bdi>{of.client.name}</bdi> : program(of.program, of.via)}</b>{of.client && <span className="small quiet" style={{ display: "block" }}>for {of.client.resource}{of.client.role && ` as ${of.client.role}`}, by way of {of.client.host}</span>}{of.this && <span className="small quiet" style={{ display: "block" }}>this one</span>}</span></td>
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
