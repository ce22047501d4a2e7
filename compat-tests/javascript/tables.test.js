// The life of a table: made, waited for, described, listed, deleted.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CreateTableCommand,
  DeleteTableCommand,
  DescribeTableCommand,
  paginateListTables,
  ResourceInUseException,
  ResourceNotFoundException,
  UpdateTimeToLiveCommand,
  DescribeTimeToLiveCommand,
  waitUntilTableExists,
  waitUntilTableNotExists,
} from "@aws-sdk/client-dynamodb";
import { client, definition, makeShelf, patience, unusedName } from "./shelf.js";

test("a table is made, waited for, described and deleted", async () => {
  const name = unusedName();
  const made = await client.send(new CreateTableCommand(definition(name)));
  assert.equal(made.TableDescription.TableName, name);
  await assert.rejects(client.send(new CreateTableCommand(definition(name))), ResourceInUseException);
  assert.equal((await waitUntilTableExists(patience, { TableName: name })).state, "SUCCESS");

  const { Table: table } = await client.send(new DescribeTableCommand({ TableName: name }));
  assert.equal(table.TableStatus, "ACTIVE");
  assert.deepEqual(table.KeySchema, definition(name).KeySchema);
  assert.equal(table.BillingModeSummary.BillingMode, "PAY_PER_REQUEST");
  assert.ok(table.CreationDateTime instanceof Date);
  assert.ok(Math.abs(Date.now() - table.CreationDateTime.getTime()) < 60_000);
  assert.equal(table.GlobalSecondaryIndexes[0].IndexName, "by-genre");
  assert.ok(table.LatestStreamArn.startsWith(`${table.TableArn}/stream/`));

  await client.send(new DeleteTableCommand({ TableName: name }));
  assert.equal((await waitUntilTableNotExists(patience, { TableName: name })).state, "SUCCESS");
  await assert.rejects(client.send(new DescribeTableCommand({ TableName: name })), ResourceNotFoundException);
});

test("tables are listed page by page", async () => {
  const mine = await Promise.all([makeShelf(), makeShelf(), makeShelf()]);
  const listed = [];
  for await (const page of paginateListTables({ client, pageSize: 2 }, {})) {
    assert.ok(page.TableNames.length <= 2);
    listed.push(...page.TableNames);
  }
  assert.deepEqual(mine.filter((name) => !listed.includes(name)), []);
  assert.equal(new Set(listed).size, listed.length);
});

test("a table forgets what its time to live says", async () => {
  const name = await makeShelf();
  const setting = { AttributeName: "lent_until", Enabled: true };
  await client.send(new UpdateTimeToLiveCommand({ TableName: name, TimeToLiveSpecification: setting }));
  const { TimeToLiveDescription: described } = await client.send(
    new DescribeTimeToLiveCommand({ TableName: name }),
  );
  assert.equal(described.AttributeName, "lent_until");
  assert.match(described.TimeToLiveStatus, /^ENABL(ED|ING)$/);
});
