// What goes wrong has a type, and what was lost on the way is sent again and happens once.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { DynamoDBClient, DynamoDBServiceException, ResourceNotFoundException } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient, GetCommand, PutCommand, TransactWriteCommand } from "@aws-sdk/lib-dynamodb";
import { documents, lossy, makeShelf, options } from "./shelf.js";

let shelf;
before(async () => {
  shelf = await makeShelf();
});

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("nothing went wrong");
}

test("a table that is not there", async () => {
  const get = new GetCommand({ TableName: "no.such.shelf", Key: { author: "x", year: 1 } });
  const error = await failure(documents.send(get));
  assert.ok(error instanceof ResourceNotFoundException);
  assert.equal(error.message, "Requested resource not found");
  assert.equal(error.$metadata.httpStatusCode, 400);
  assert.match(error.$metadata.requestId, /^[A-Z0-9]{52}$/);
  assert.equal(error.$metadata.attempts, 1);
});

test("a key that is not the table's", async () => {
  const error = await failure(
    documents.send(new GetCommand({ TableName: shelf, Key: { author: "x", year: "not a number" } })),
  );
  assert.ok(error instanceof DynamoDBServiceException);
  assert.equal(error.name, "ValidationException");
  assert.equal(error.message, "The provided key element does not match the schema");
});

test("a wrong secret, and a key pair that nobody has", async () => {
  const get = new GetCommand({ TableName: shelf, Key: { author: "x", year: 1 } });
  const as = (credentials) => DynamoDBDocumentClient.from(new DynamoDBClient({ ...options, credentials }));
  const accessKeyId = process.env.AWS_ACCESS_KEY_ID;
  const wrong = await failure(as({ accessKeyId, secretAccessKey: "wrong" }).send(get));
  assert.equal(wrong.name, "InvalidSignatureException");
  const nobody = as({ accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wrong" });
  assert.equal((await failure(nobody.send(get))).name, "UnrecognizedClientException");
});

test("a lost answer is asked for again, and the transaction happens once", async () => {
  const retrying = DynamoDBDocumentClient.from(new DynamoDBClient(lossy));
  const key = { author: "retry", year: 1 };
  await retrying.send(new PutCommand({ TableName: shelf, Item: { ...key, copies: 0 } }));
  for (let round = 1; round <= 3; round++) {
    const answer = await retrying.send(
      new TransactWriteCommand({
        TransactItems: [
          {
            Update: {
              TableName: shelf,
              Key: key,
              UpdateExpression: "ADD copies :one",
              ExpressionAttributeValues: { ":one": 1 },
            },
          },
        ],
      }),
    );
    assert.equal(answer.$metadata.attempts, 2);
    const { Item: item } = await documents.send(new GetCommand({ TableName: shelf, Key: key, ConsistentRead: true }));
    assert.equal(item.copies, round);
  }
});
