// That somebody signed in to one's account from a place that is new. It stays until it is known to be one's own, or ended.

import { Button } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";

import { api, type Me, type Schemas } from "../api/client";
import { program } from "../lib/programs";
import { Note } from "./Page";
import { When } from "./Time";
import { failed, said } from "./toast";

export function NewPlaces({ of }: { of: Me }) {
  return <>{of.new_places.map((place) => <NewPlace key={place.id} of={place} />)}</>;
}

function NewPlace({ of }: { of: Schemas["NewPlace"] }) {
  const client = useQueryClient();
  const params = { path: { id: of.id } };
  const call = async (isMine: boolean): Promise<void> => {
    try {
      if (!isMine && of.state === "live") await api.POST("/sign-ins/{id}/end", { params });
      await api.POST("/me/new-places/{id}/known", { params });
      if (!isMine) said("That sign-in has ended", "Have your password changed: whoever it was knows it.");
    } catch (error) {
      failed(error as Error);
    }
    for (const name of ["me", "sign-ins"]) void client.invalidateQueries({ queryKey: [name] });
  };
  return (
    <div role="region" aria-label="A sign-in from a new place" className="news">
      <Note tone="warn">
        <b>Somebody signed in as you from a new place.</b>
        <p>{program(of.program)}, from {of.address ?? "an unknown address"}, <When at={of.at} />. Was it you?</p>
        <div className="row">
          <Button size="xs" variant="default" onClick={() => void call(true)}>It was me</Button>
          <Button size="xs" color="brick" onClick={() => void call(false)}>{of.state === "live" ? "It was not: end it" : "It was not"}</Button>
        </div>
      </Note>
    </div>
  );
}
