// Being told on one's devices of what waits for one's word.

import { Button } from "@mantine/core";
import { IconBell, IconBellOff, IconBellRinging, IconDevices } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, body } from "../api/client";
import { devices } from "../api/queries";
import { program } from "../lib/programs";
import { add, here, remembered, remove } from "../lib/push";
import { Bones, Note, Reading, sentence } from "./Page";
import { Plain } from "./Sql";
import { When } from "./Time";
import { failed, said, warned } from "./toast";

const WHY = {
  unable: "This browser can’t be told. On an iPhone or iPad, put the console on the home screen first.",
  insecure: "Browsers are told only where the console is reached by https.",
  refused: "You have forbidden notifications of this page; your browser’s settings of the site allow them again.",
} as const;

/** Has a test sent, and says what came of it. */
async function test(id: string): Promise<void> {
  const { outcome, why } = await body(api.POST("/me/devices/{id}/test", { params: { path: { id } } }));
  if (outcome === "taken") said("The test is on its way", "The device’s push service has taken it. If nothing is shown, look at the notifications of its system.");
  else if (outcome === "gone") warned("The device is not there any more", "Its push service does not know it, so it is taken away.");
  else warned("The test could not be sent", why ? sentence(why) : "Its push service did not take it.");
}

export function Devices() {
  const list = useQuery(devices);
  const client = useQueryClient();
  const [busy, setBusy] = useState(false);
  const doing = async (what: () => Promise<unknown>): Promise<void> => {
    setBusy(true);
    try {
      await what();
    } catch (error) {
      failed(error as Error);
    }
    await client.invalidateQueries({ queryKey: devices.queryKey });
    setBusy(false);
  };
  const begin = (key: string): Promise<void> => doing(async () => {
    if (await add(key)) said("You are told on this device", "Of what waits for your word, and of answers to what you asked.");
    else warned("Nothing is told on this device", "Notifications were not allowed.");
  });
  return (
    <section className="part" aria-labelledby="told-on" style={{ marginTop: 32, marginBottom: 32 }}>
      <h2 id="told-on">Notifications</h2>
      <Reading of={list} bones={<Bones rows={1} height={72} />}>
        {({ items, key }) => {
          const state = here();
          const mine = items.find((one) => one.id === remembered());
          return (
            <div className="sheet">
              <div className="row apart" style={{ padding: "16px 20px" }}>
                <p className="quiet" style={{ flex: "1 1 300px" }}>
                  A device can tell you of what waits for your word. It says who asks for what kind of thing, and nothing of what you would decide by; what it is sent is encrypted for it.
                </p>
                {key && !mine && state === "able" && <Button leftSection={<IconBell size={17} />} loading={busy} onClick={() => void begin(key)}>Tell me on this device</Button>}
              </div>
              {!key && <div style={{ padding: "0 20px 16px" }}><Note>Nobody is told on devices here. Whoever runs the gateway can set it up.</Note></div>}
              {key && state !== "able" && !mine && <div style={{ padding: "0 20px 16px" }}><Note tone="warn">{WHY[state]}</Note></div>}
              {items.length > 0 && (
                <ul className="list">
                  {items.map((one) => (
                    <li key={one.id} className="row apart">
                      <span className="row">
                        <IconDevices size={18} stroke={1.7} aria-hidden="true" />
                        <span><b><Plain text={program(one.program)} /></b>{one.id === mine?.id && <span className="mark seal" style={{ marginLeft: 8 }}>this one</span>}<span className="small quiet" style={{ display: "block" }}>since <When at={one.added_at} /></span></span>
                      </span>
                      <span className="row">
                      {key && <Button size="xs" variant="default" leftSection={<IconBellRinging size={15} />} disabled={busy} onClick={() => void doing(() => test(one.id))}>Send a test</Button>}
                      <Button size="xs" variant="default" leftSection={<IconBellOff size={15} />} disabled={busy} onClick={() => void doing(() => remove(one.id))}>Tell it no more</Button>
                      </span>
                    </li>
                  ))}
                </ul>
              )}
            </div>
          );
        }}
      </Reading>
    </section>
  );
}
