// All or nothing: transactions of requests, and statements of PartiQL.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, test } from "node:test";
import {
  ConditionalCheckFailedException,
  DuplicateItemException,
  IdempotentParameterMismatchException,
  TransactionCanceledException,
} from "@aws-sdk/client-dynamodb";
import {
  BatchExecuteStatementCommand,
  ExecuteStatementCommand,
  ExecuteTransactionCommand,
  GetCommand,
  TransactGetCommand,
  TransactWriteCommand,
} from "@aws-sdk/lib-dynamodb";
import { books, documents, makeShelf } from "./shelf.js";

let shelf;
before(async () => {
  shelf = await makeShelf(...books);
});

async function copies(author, year) {
  const key = { TableName: shelf, Key: { author, year }, ConsistentRead: true };
  return (await documents.send(new GetCommand(key))).Item?.copies;
}

function move(from, to, ClientRequestToken) {
  const change = (key, by) => ({
    Update: {
      TableName: shelf,
      Key: key,
      UpdateExpression: "SET copies = copies + :by",
      ConditionExpression: "copies >= :least",
      ExpressionAttributeValues: { ":by": by, ":least": Math.max(0, -by) },
    },
  });
  return new TransactWriteCommand({ TransactItems: [change(from, -1), change(to, 1)], ClientRequestToken });
}

test("a transaction happens once for its token", async () => {
  const from = { author: "Christie", year: 1934 };
  const to = { author: "Christie", year: 1939 };
  const token = randomUUID();
  await documents.send(move(from, to, token));
  await documents.send(move(from, to, token));
  assert.deepEqual([await copies("Christie", 1934), await copies("Christie", 1939)], [5, 3]);
  await assert.rejects(documents.send(move(to, from, token)), IdempotentParameterMismatchException);
});

test("a transaction that cannot be is not at all, and says why", async () => {
  const empty = { author: "Le Guin", year: 1974 };
  const other = { author: "Le Guin", year: 1968 };
  await assert.rejects(documents.send(move(empty, other)), (error) => {
    assert.ok(error instanceof TransactionCanceledException);
    assert.deepEqual(error.CancellationReasons.map(({ Code }) => Code), ["ConditionalCheckFailed", "None"]);
    return true;
  });
  assert.deepEqual([await copies("Le Guin", 1974), await copies("Le Guin", 1968)], [0, 5]);
});

test("a transaction reads all at one moment", async () => {
  const keys = [{ author: "Lem", year: 1961 }, { author: "nobody", year: 1 }, { author: "Lem", year: 1964 }];
  const { Responses: found } = await documents.send(
    new TransactGetCommand({ TransactItems: keys.map((Key) => ({ Get: { TableName: shelf, Key } })) }),
  );
  assert.deepEqual(found.map(({ Item }) => Item?.title), ["Solaris", undefined, "The Invincible"]);
});

test("statements write, read and go through pages", async () => {
  const run = (Statement, Parameters, more) =>
    documents.send(new ExecuteStatementCommand({ Statement, Parameters, ...more }));
  for (let year = 1; year <= 5; year++) {
    const insert = `INSERT INTO "${shelf}" VALUE {'author': ?, 'year': ?, 'copies': ?}`;
    await run(insert, ["statement", year, 1]);
    await assert.rejects(run(insert, ["statement", year, 1]), DuplicateItemException);
  }
  const update = `UPDATE "${shelf}" SET copies = copies + ? WHERE author = ? AND "year" = ? RETURNING ALL NEW *`;
  const updated = await run(update, [4, "statement", 3]);
  assert.deepEqual(updated.Items, [{ author: "statement", year: 3, copies: 5 }]);
  await run(`DELETE FROM "${shelf}" WHERE author = ? AND "year" = ?`, ["statement", 5]);
  const never = `UPDATE "${shelf}" SET copies = 1 WHERE author = ? AND "year" = ? AND copies > 100`;
  await assert.rejects(run(never, ["statement", 1]), ConditionalCheckFailedException);

  const found = [];
  let NextToken;
  do {
    const select = `SELECT "year", copies FROM "${shelf}" WHERE author = ? ORDER BY "year" DESC`;
    const page = await run(select, ["statement"], { Limit: 3, NextToken });
    found.push(...page.Items.map(({ year, copies }) => [year, copies]));
    NextToken = page.NextToken;
  } while (NextToken);
  assert.deepEqual(found, [[4, 1], [3, 5], [2, 1], [1, 1]]);
});

test("statements go in batches and in transactions", async () => {
  const select = { Statement: `SELECT title FROM "${shelf}" WHERE author = ? AND "year" = ?` };
  const batch = await documents.send(
    new BatchExecuteStatementCommand({
      Statements: [
        { ...select, Parameters: ["Lem", 1961] },
        { Statement: `SELECT * FROM "no.such.shelf" WHERE author = 'x' AND "year" = 1` },
      ],
    }),
  );
  assert.deepEqual(batch.Responses[0].Item, { title: "Solaris" });
  assert.equal(batch.Responses[1].Error.Code, "ResourceNotFound");

  const insert = (year) => ({
    Statement: `INSERT INTO "${shelf}" VALUE {'author': ?, 'year': ?}`,
    Parameters: ["together", year],
  });
  await documents.send(new ExecuteTransactionCommand({ TransactStatements: [insert(1), insert(2)] }));
  const again = new ExecuteTransactionCommand({ TransactStatements: [insert(3), insert(2)] });
  await assert.rejects(documents.send(again), (error) => {
    assert.ok(error instanceof TransactionCanceledException);
    assert.deepEqual(error.CancellationReasons.map(({ Code }) => Code), ["None", "DuplicateItem"]);
    return true;
  });
  const third = new GetCommand({ TableName: shelf, Key: { author: "together", year: 3 } });
  assert.equal((await documents.send(third)).Item, undefined);
});
