import { readEnvironment } from "@sandgate/config";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { topologies } from "../integration/suite/start-suite.ts";
import { expectTwentyRows } from "./expect-twenty-rows.ts";
import { hasGrpcurl, missingGrpcurl } from "./grpcurl.ts";
import { createGrpcurlAttacker, type GrpcurlAttacker } from "./grpcurl-attack.ts";

const isThere = await hasGrpcurl();

describe.each(topologies)("grpcurl, %s", (topology) => {
  let grpcurl: GrpcurlAttacker;
  beforeAll(async () => {
    grpcurl = await createGrpcurlAttacker();
  });
  afterAll(() => grpcurl.remove());

  it("G-24: meets what our own client meets in twenty rows of the attack matrix", async (context) => {
    if (!isThere && readEnvironment()["CI"] === undefined) context.skip(missingGrpcurl);
    expect.hasAssertions();
    await expectTwentyRows(topology, grpcurl.attack);
  }, 120_000);
});
