import { IconMapOff } from "@tabler/icons-react";

import { Blank, Head } from "../parts/Page";

export default function Nowhere() {
  return (
    <>
      <Head title="No such page" />
      <div className="sheet">
        <Blank icon={IconMapOff} title="Nothing is at this address" action={{ to: "/", label: "Go to my access" }}>
          The link may be incomplete. Links to requests look like /requests/req_…
        </Blank>
      </div>
    </>
  );
}
