import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { Http1Connection } from "../../src/proxy/downstream/http1-connection.ts";

/** A connection, and requests that come on it. */
function connection() {
  const socket = new PassThrough();
  const of = new Http1Connection(socket);
  const begun: number[] = [];
  const answers: EventEmitter[] = [];
  const request = { takeNoMore: () => undefined, malformed: () => undefined };
  const take = (number: number): void => {
    const answer = new EventEmitter();
    answers.push(answer);
    of.take(request, answer, () => begun.push(number));
  };
  return { socket, begun, answers, take, of };
}

test("each request begins when the answer before it is out, and nothing is read meanwhile", () => {
  const { socket, begun, answers, take, of } = connection();
  for (const number of [1, 2, 3]) take(number);
  expect([begun, socket.isPaused(), of.isBusy]).toEqual([[1], true, true]);
  answers[0]?.emit("close");
  expect([begun, socket.isPaused()]).toEqual([[1, 2], true]);
  answers[1]?.emit("close");
  expect([begun, socket.isPaused()]).toEqual([[1, 2, 3], false]);
  answers[2]?.emit("close");
  expect(of.isBusy).toBe(false);
});

test("nothing begins on a connection that has been ended", () => {
  const { socket, begun, answers, take } = connection();
  for (const number of [1, 2]) take(number);
  socket.end();
  answers[0]?.emit("close");
  expect(begun).toEqual([1]);
});

test("a hundred wait, and one more ends the connection", () => {
  const { socket, take } = connection();
  for (let number = 0; number <= 100; number++) take(number);
  expect(socket.destroyed).toBe(false);
  take(101);
  expect(socket.destroyed).toBe(true);
});
