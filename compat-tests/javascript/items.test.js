// One item: every type of value, conditions, updates.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import {
  ConditionalCheckFailedException,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
} from "@aws-sdk/client-dynamodb";
import {
  DeleteCommand,
  DynamoDBDocumentClient,
  GetCommand,
  NumberValue,
  PutCommand,
  UpdateCommand,
} from "@aws-sdk/lib-dynamodb";
import { books, client, documents, makeShelf, options } from "./shelf.js";

let shelf;
before(async () => {
  shelf = await makeShelf(...books);
});

async function get(key) {
  return (await documents.send(new GetCommand({ TableName: shelf, Key: key, ConsistentRead: true }))).Item;
}

test("every type comes back as it was put", async () => {
  const item = {
    author: { S: "types" },
    year: { N: "0" },
    text: { S: "żółw 🐢" },
    empty: { S: "" },
    long: { N: "12345678901234567890123456789012345678" },
    tiny: { N: "-0.000001" },
    bytes: { B: Uint8Array.of(0, 1, 254, 255) },
    yes: { BOOL: true },
    nothing: { NULL: true },
    list: { L: [{ S: "a" }, { N: "1" }, { L: [] }] },
    map: { M: { inner: { M: { deep: { BOOL: false } } } } },
    strings: { SS: ["a", "b"] },
    numbers: { NS: ["1", "2.5"] },
    binaries: { BS: [Uint8Array.of(1), Uint8Array.of(2)] },
  };
  await client.send(new PutItemCommand({ TableName: shelf, Item: item }));
  const key = { author: item.author, year: item.year };
  const { Item: found } = await client.send(new GetItemCommand({ TableName: shelf, Key: key }));
  for (const set of ["strings", "numbers"]) {
    for (const value of Object.values(found[set])) {
      value.sort();
    }
  }
  found.binaries.BS.sort((one, other) => one[0] - other[0]);
  assert.deepEqual(found, item);
});

test("JavaScript's values become items and come back", async () => {
  // A client of its own: the options of a document client are kept in the client that it was made from.
  const exact = DynamoDBDocumentClient.from(new DynamoDBClient(options), {
    marshallOptions: { removeUndefinedValues: true },
    unmarshallOptions: { wrapNumbers: (text) => NumberValue.from(text) },
  });
  const big = "98765432109876543210.5";
  const item = { author: "values", year: 1, tags: new Set(["x", "y"]), when: null, nested: { on: [true, "é"] } };
  await exact.send(
    new PutCommand({ TableName: shelf, Item: { ...item, big: NumberValue.from(big), gone: undefined } }),
  );
  const { Item: found } = await exact.send(
    new GetCommand({ TableName: shelf, Key: { author: "values", year: 1 } }),
  );
  assert.equal(found.big.toString(), big);
  const plain = { ...found, year: Number(found.year.toString()) };
  delete plain.big;
  assert.deepEqual(plain, item);
});

test("a book that is there is not put again", async () => {
  const [book] = books;
  const again = new PutCommand({
    TableName: shelf,
    Item: { ...book, copies: 99 },
    ConditionExpression: "attribute_not_exists(author)",
    ReturnValuesOnConditionCheckFailure: "ALL_OLD",
  });
  await assert.rejects(documents.send(again), (error) => {
    assert.ok(error instanceof ConditionalCheckFailedException);
    assert.equal(error.message, "The conditional request failed");
    assert.deepEqual(error.Item.title, { S: "Solaris" });
    return true;
  });
  assert.equal((await get({ author: book.author, year: book.year })).copies, book.copies);
});

test("a book is lent while there are copies", async () => {
  const book = books.find(({ title }) => title === "The Left Hand of Darkness");
  const lend = () =>
    documents.send(
      new UpdateCommand({
        TableName: shelf,
        Key: { author: book.author, year: book.year },
        UpdateExpression: "SET copies = copies - :one, readers = list_append(if_not_exists(readers, :none), :who)",
        ConditionExpression: "copies > :zero",
        ExpressionAttributeValues: { ":one": 1, ":zero": 0, ":none": [], ":who": ["ann"] },
        ReturnValues: "UPDATED_NEW",
      }),
    );
  assert.deepEqual((await lend()).Attributes, { copies: 1, readers: ["ann"] });
  assert.deepEqual((await lend()).Attributes, { copies: 0, readers: ["ann", "ann"] });
  await assert.rejects(lend(), ConditionalCheckFailedException);
});

test("an update adds, deletes and removes", async () => {
  const key = { author: "update", year: 7 };
  const update = (expression, values, names) =>
    documents.send(
      new UpdateCommand({
        TableName: shelf,
        Key: key,
        UpdateExpression: expression,
        ExpressionAttributeValues: values,
        ExpressionAttributeNames: names,
        ReturnValues: "ALL_NEW",
      }),
    );
  await update("ADD loans :two, tags :tags SET #place = :map", {
    ":two": 2,
    ":tags": new Set(["old", "blue"]),
    ":map": { row: 4, box: { n: 1 } },
  }, { "#place": "place" });
  const { Attributes: found } = await update(
    "ADD loans :one DELETE tags :old SET #place.box.n = :nine REMOVE #place.#row",
    { ":one": 1, ":old": new Set(["old"]), ":nine": 9 },
    { "#place": "place", "#row": "row" },
  );
  assert.deepEqual(found, { ...key, loans: 3, tags: new Set(["blue"]), place: { box: { n: 9 } } });
});

test("a deleted book is given back once more", async () => {
  const book = { author: "gone", year: 1, title: "Ephemera" };
  await documents.send(new PutCommand({ TableName: shelf, Item: book }));
  const away = new DeleteCommand({
    TableName: shelf,
    Key: { author: "gone", year: 1 },
    ReturnValues: "ALL_OLD",
    ReturnConsumedCapacity: "TOTAL",
  });
  const answer = await documents.send(away);
  assert.deepEqual(answer.Attributes, book);
  assert.equal(answer.ConsumedCapacity.TableName, shelf);
  assert.equal(await get({ author: "gone", year: 1 }), undefined);
});
