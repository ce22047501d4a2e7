// Many items: queries, filters, pages, segments, the index, batches.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import {
  BatchGetCommand,
  BatchWriteCommand,
  paginateQuery,
  paginateScan,
  QueryCommand,
  ScanCommand,
} from "@aws-sdk/lib-dynamodb";
import { books, documents, eventually, makeShelf } from "./shelf.js";

let shelf;
before(async () => {
  shelf = await makeShelf(...books);
});

const byAuthor = (author) => ({
  TableName: shelf,
  KeyConditionExpression: "author = :author",
  ExpressionAttributeValues: { ":author": author },
});
const titles = (items) => items.map(({ title }) => title);
const lem = books.filter(({ author }) => author === "Lem");

test("an author's books come in the order of their years", async () => {
  const { Items: items, Count: count } = await documents.send(new QueryCommand(byAuthor("Lem")));
  assert.deepEqual(items, lem);
  assert.equal(count, lem.length);
  const back = await documents.send(new QueryCommand({ ...byAuthor("Lem"), ScanIndexForward: false }));
  assert.deepEqual(back.Items, lem.toReversed());
});

test("years are a range, and a filter leaves out", async () => {
  const { Items: items, Count: count, ScannedCount: scanned } = await documents.send(
    new QueryCommand({
      TableName: shelf,
      KeyConditionExpression: "author = :author AND #year BETWEEN :from AND :to",
      FilterExpression: "genre <> :genre AND (copies > :one OR contains(title, :part))",
      ProjectionExpression: "title, #year",
      ExpressionAttributeNames: { "#year": "year" },
      ExpressionAttributeValues: {
        ":author": "Lem", ":from": 1961, ":to": 1968, ":genre": "satire", ":one": 1, ":part": "Invinc",
      },
    }),
  );
  assert.deepEqual(items, [
    { title: "Solaris", year: 1961 },
    { title: "The Invincible", year: 1964 },
  ]);
  assert.deepEqual([count, scanned], [2, 4]);
});

test("a paginator goes through all pages", async () => {
  const pages = [];
  for await (const page of paginateQuery({ client: documents, pageSize: 2 }, byAuthor("Lem"))) {
    pages.push(titles(page.Items));
  }
  assert.deepEqual(pages.flat(), titles(lem));
  assert.deepEqual(pages.map((page) => page.length), [2, 2, 1]);
});

test("segments share a table among them", async () => {
  const segments = await Promise.all(
    [0, 1, 2].map(async (Segment) => {
      const found = [];
      const scan = { TableName: shelf, Segment, TotalSegments: 3 };
      for await (const page of paginateScan({ client: documents, pageSize: 1 }, scan)) {
        found.push(...titles(page.Items));
      }
      return found;
    }),
  );
  assert.deepEqual(segments.flat().sort(), titles(books).sort());
  const counted = await documents.send(new ScanCommand({ TableName: shelf, Select: "COUNT" }));
  assert.equal(counted.Count, books.length);
  assert.equal(counted.Items, undefined);
});

test("the index has the books of a genre", async () => {
  const expected = books.filter(({ genre }) => genre === "sf").sort((one, other) => one.year - other.year);
  const query = new QueryCommand({
    TableName: shelf,
    IndexName: "by-genre",
    KeyConditionExpression: "genre = :genre",
    ExpressionAttributeValues: { ":genre": "sf" },
  });
  const look = async () => (await documents.send(query)).Items;
  assert.deepEqual(await eventually(look, (items) => items.length === expected.length), expected);
});

test("batches write, read and delete", async () => {
  const many = Array.from({ length: 25 }, (_, year) => ({ author: "batch", year, title: `No. ${year}` }));
  const put = many.map((Item) => ({ PutRequest: { Item } }));
  const written = await documents.send(new BatchWriteCommand({ RequestItems: { [shelf]: put } }));
  assert.deepEqual(written.UnprocessedItems, {});
  const keys = Array.from({ length: 30 }, (_, year) => ({ author: "batch", year }));
  const read = async () => {
    const asked = { RequestItems: { [shelf]: { Keys: keys, ConsistentRead: true } } };
    const answer = await documents.send(new BatchGetCommand(asked));
    assert.deepEqual(answer.UnprocessedKeys, {});
    return answer.Responses[shelf].sort((one, other) => one.year - other.year);
  };
  assert.deepEqual(await read(), many);
  const gone = keys.slice(0, 20).map((Key) => ({ DeleteRequest: { Key } }));
  await documents.send(new BatchWriteCommand({ RequestItems: { [shelf]: gone } }));
  assert.deepEqual(await read(), many.slice(20));
});
