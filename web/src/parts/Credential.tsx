// A credential for one's own client: minted on demand, shown once, never kept.

import { Button, Modal, Tabs } from "@mantine/core";
import { IconKey } from "@tabler/icons-react";
import { useState } from "react";

import { api, body, type Schemas } from "../api/client";
import { environment, quote } from "../lib/shell";
import { Command } from "./Bits";
import { Left } from "./Time";
import { failed } from "./toast";

export function MintButton({ resource }: { resource: string }) {
  const [minted, setMinted] = useState<Schemas["Credential"]>();
  const [busy, setBusy] = useState(false);
  const mint = async (): Promise<void> => {
    setBusy(true);
    try {
      setMinted(await body(api.POST("/credentials", { body: { resource } })));
    } catch (error) {
      failed(error as Error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Button variant="default" size="sm" leftSection={<IconKey size={16} />} loading={busy} onClick={() => void mint()}>
        Get a credential
      </Button>
      <Modal
        opened={minted !== undefined} onClose={() => setMinted(undefined)} size="lg" centered
        title={`A credential for ${resource}`}
      >
        {minted && <Shown minted={minted} />}
      </Modal>
    </>
  );
}

function Shown({ minted }: { minted: Schemas["Credential"] }) {
  return (
    <div className="stack">
      <p>
        Shown this once. It works for <Left until={minted.expires_at} sign={false} /> and opens nothing by itself: each
        connection and each action asks for a live grant.
      </p>
      <Tabs defaultValue="psql" keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="psql">psql</Tabs.Tab>
          <Tabs.Tab value="url">URL</Tabs.Tab>
          <Tabs.Tab value="env">Environment</Tabs.Tab>
          {minted.ca && <Tabs.Tab value="ca">Certificate</Tabs.Tab>}
        </Tabs.List>
        <div style={{ paddingTop: 14 }}>
          <Tabs.Panel value="psql"><Command text={`psql ${quote(minted.url)}`} what="the command" /></Tabs.Panel>
          <Tabs.Panel value="url"><Command text={minted.url} what="the URL" prompt={false} /></Tabs.Panel>
          <Tabs.Panel value="env"><Command text={environment(minted)} what="the variables" prompt={false} /></Tabs.Panel>
          {minted.ca && (
            <Tabs.Panel value="ca">
              <div className="stack">
                <p className="small quiet">Save it and give it to the client as sslrootcert, with sslmode=verify-full.</p>
                <Command text={minted.ca} what="the certificate" prompt={false} />
              </div>
            </Tabs.Panel>
          )}
        </div>
      </Tabs>
    </div>
  );
}
