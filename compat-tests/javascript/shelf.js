// The server under test, its clients, and a shelf of books: the table of the story, with what stands on it at first.

import { randomUUID } from "node:crypto";
import { after } from "node:test";
import {
  CreateTableCommand,
  DeleteTableCommand,
  DynamoDBClient,
  waitUntilTableExists,
} from "@aws-sdk/client-dynamodb";
import { BatchWriteCommand, DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";

/** How to reach the server: the region and the key pair come from the usual variables of the environment. */
export const options = { endpoint: needed("STATOR_ENDPOINT") };

/** An endpoint that does what it is asked, and then loses the answer of every second request. */
export const lossy = { endpoint: needed("STATOR_LOSSY_ENDPOINT") };

/** Speaks of attribute values, as the API does. */
export const client = new DynamoDBClient(options);

/** Speaks of JavaScript's own values. */
export const documents = DynamoDBDocumentClient.from(client);

/** How long anything that happens by itself may take. */
export const patience = { client, maxWaitTime: 20, minDelay: 1, maxDelay: 1 };

export const books = [
  { author: "Lem", year: 1961, title: "Solaris", genre: "sf", copies: 3 },
  { author: "Lem", year: 1964, title: "The Invincible", genre: "sf", copies: 1 },
  { author: "Lem", year: 1965, title: "The Cyberiad", genre: "satire", copies: 2 },
  { author: "Lem", year: 1968, title: "His Master's Voice", genre: "sf", copies: 1 },
  { author: "Lem", year: 1971, title: "The Futurological Congress", genre: "satire", copies: 4 },
  { author: "Le Guin", year: 1968, title: "A Wizard of Earthsea", genre: "fantasy", copies: 5 },
  { author: "Le Guin", year: 1969, title: "The Left Hand of Darkness", genre: "sf", copies: 2 },
  { author: "Le Guin", year: 1974, title: "The Dispossessed", genre: "sf", copies: 0 },
  { author: "Christie", year: 1934, title: "Murder on the Orient Express", genre: "crime", copies: 6 },
  { author: "Christie", year: 1939, title: "And Then There Were None", genre: "crime", copies: 2 },
];

/** What CreateTable needs to make a shelf. */
export function definition(name) {
  return {
    TableName: name,
    BillingMode: "PAY_PER_REQUEST",
    AttributeDefinitions: [
      { AttributeName: "author", AttributeType: "S" },
      { AttributeName: "year", AttributeType: "N" },
      { AttributeName: "genre", AttributeType: "S" },
    ],
    KeySchema: [
      { AttributeName: "author", KeyType: "HASH" },
      { AttributeName: "year", KeyType: "RANGE" },
    ],
    GlobalSecondaryIndexes: [
      {
        IndexName: "by-genre",
        KeySchema: [
          { AttributeName: "genre", KeyType: "HASH" },
          { AttributeName: "year", KeyType: "RANGE" },
        ],
        Projection: { ProjectionType: "ALL" },
      },
    ],
    StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_AND_OLD_IMAGES" },
  };
}

export function unusedName() {
  return `shelf.${randomUUID()}`;
}

/** The shelves that go away after the tests of the file. */
const made = [];
after(() => Promise.all(made.map((TableName) => client.send(new DeleteTableCommand({ TableName })))));

/** Makes a shelf, empty or with these books on it, and returns its name. */
export async function makeShelf(...standing) {
  const name = unusedName();
  await client.send(new CreateTableCommand(definition(name)));
  made.push(name);
  await waitUntilTableExists(patience, { TableName: name });
  if (standing.length > 0) {
    const requests = standing.map((book) => ({ PutRequest: { Item: book } }));
    await documents.send(new BatchWriteCommand({ RequestItems: { [name]: requests } }));
  }
  return name;
}

/** Looks until what is seen is what is expected, or the time is up, and returns what was seen last. */
export async function eventually(look, isExpected) {
  const deadline = Date.now() + patience.maxWaitTime * 1000;
  for (;;) {
    const seen = await look();
    if (isExpected(seen) || Date.now() > deadline) {
      return seen;
    }
  }
}

function needed(variable) {
  const value = process.env[variable];
  if (!value) {
    throw new Error(`${variable} is not set: compat-tests/README.md says how to run this`);
  }
  return value;
}
