// The stream of a table: what happened to its items, in order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { DescribeTableCommand } from "@aws-sdk/client-dynamodb";
import {
  DescribeStreamCommand,
  DynamoDBStreamsClient,
  GetRecordsCommand,
  GetShardIteratorCommand,
  ListStreamsCommand,
} from "@aws-sdk/client-dynamodb-streams";
import { DeleteCommand, PutCommand, UpdateCommand } from "@aws-sdk/lib-dynamodb";
import { client, documents, makeShelf, options, patience } from "./shelf.js";

const streams = new DynamoDBStreamsClient(options);

/** The records of all shards from the oldest on, until there are as many as expected. */
async function read(StreamArn, expected) {
  const { StreamDescription: stream } = await streams.send(new DescribeStreamCommand({ StreamArn }));
  assert.equal(stream.StreamViewType, "NEW_AND_OLD_IMAGES");
  const iterators = await Promise.all(
    stream.Shards.map(async ({ ShardId }) => {
      const from = { StreamArn, ShardId, ShardIteratorType: "TRIM_HORIZON" };
      return (await streams.send(new GetShardIteratorCommand(from))).ShardIterator;
    }),
  );
  const records = [];
  const deadline = Date.now() + patience.maxWaitTime * 1000;
  while (records.length < expected && Date.now() < deadline) {
    for (const [shard, ShardIterator] of iterators.entries()) {
      if (ShardIterator !== undefined) {
        const page = await streams.send(new GetRecordsCommand({ ShardIterator }));
        records.push(...page.Records);
        iterators[shard] = page.NextShardIterator;
      }
    }
  }
  return records;
}

test("what happens to a book is in the stream, with its images", async () => {
  const shelf = await makeShelf();
  const { Table: table } = await client.send(new DescribeTableCommand({ TableName: shelf }));
  const listed = await streams.send(new ListStreamsCommand({ TableName: shelf }));
  assert.deepEqual(listed.Streams.map(({ StreamArn }) => StreamArn), [table.LatestStreamArn]);

  const Key = { author: "Woolf", year: 1928 };
  await documents.send(new PutCommand({ TableName: shelf, Item: { ...Key, title: "Orlando" } }));
  await documents.send(
    new UpdateCommand({
      TableName: shelf,
      Key,
      UpdateExpression: "SET copies = :copies",
      ExpressionAttributeValues: { ":copies": 2 },
    }),
  );
  await documents.send(new DeleteCommand({ TableName: shelf, Key }));

  const records = await read(table.LatestStreamArn, 3);
  assert.deepEqual(records.map(({ eventName }) => eventName), ["INSERT", "MODIFY", "REMOVE"]);
  const keys = { author: { S: "Woolf" }, year: { N: "1928" } };
  const put = { ...keys, title: { S: "Orlando" } };
  const updated = { ...put, copies: { N: "2" } };
  const images = records.map(({ dynamodb }) => [dynamodb.OldImage, dynamodb.NewImage]);
  assert.deepEqual(images, [[undefined, put], [put, updated], [updated, undefined]]);
  for (const { dynamodb, eventSource } of records) {
    assert.deepEqual(dynamodb.Keys, keys);
    assert.equal(eventSource, "aws:dynamodb");
    assert.ok(dynamodb.ApproximateCreationDateTime instanceof Date);
  }
  const numbers = records.map(({ dynamodb }) => BigInt(dynamodb.SequenceNumber));
  assert.ok(numbers[0] < numbers[1] && numbers[1] < numbers[2]);
});
