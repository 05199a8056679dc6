import { askHttp2, openHttp2, valuesOf } from "../support/http2.ts";
import { request } from "node:http";
import {
  type Client,
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { Backend, closedPort } from "../support/backend.ts";
import type { DataPlaneRig } from "../support/data-plane.ts";
import { ECHO, GrpcBackend, callUnary, grpcClient } from "../support/grpc.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const grpcService = (name: string, ports: readonly number[]): string =>
  serviceYaml(name, ports).replace("appProtocol: http", "appProtocol: grpc");

/** What a real gRPC client and a real gRPC server see of each other, on any data plane. */
export function describeGrpc(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: gRPC`, () => {
    let rig: DataPlaneRig;
    let client: Client;
    const echo = new GrpcBackend();

    beforeAll(async () => {
      await echo.start({
        Unary: (call: { request: string; metadata: Metadata }, done: sendUnaryData<string>) => {
          const trailers = new Metadata();
          trailers.set("x-trailer", "t");
          trailers.set("x-bin", Buffer.from([0, 255]));
          if (call.request === "fail")
            return done({ code: status.FAILED_PRECONDITION, details: "not so", metadata: trailers });
          done(null, `${call.request} ${String(call.metadata.get("x-a"))}`, trailers);
        },
        Upload: (call: ServerReadableStream<string, string>, done: (error: null, value: string) => void) => {
          const got: string[] = [];
          call.on("data", (text: string) => got.push(text)).on("end", () => done(null, got.join(",")));
        },
        Download: (call: { request: string; write(text: string): void; end(): void }) => {
          for (let i = 0; i < 50; i++) call.write(`${call.request}${i}`);
          call.end();
        },
        Chat: (call: ServerDuplexStream<string, string>) => {
          call.on("data", (text: string) => call.write(`echo ${text}`)).on("end", () => call.end());
        },
      });
      rig = await start();
    });
    afterAll(async () => {
      echo.stop();
      await rig.close();
    });
    beforeEach(async () => {
      await serve("rules: [{matches: [{grpc: {service: test.Echo}}], backendRefs: [{name: echo, port: 80}]}]");
      client = grpcClient(rig.port);
    });
    afterEach(() => client.close());

    const serve = async (spec: string, more = ""): Promise<void> =>
      rig.publish(grpcService("echo", [echo.port]) + more + routeYaml("r", spec));
    const metadata = (entries: Record<string, string> = { "x-a": "1" }): Metadata => {
      const made = new Metadata();
      for (const [key, value] of Object.entries(entries)) made.set(key, value);
      return made;
    };

    test("a unary call, with metadata and trailers", async () => {
      const outcome = await callUnary(client, "hi", metadata());
      expect([outcome.code, outcome.text, outcome.trailers.getMap()]).toEqual([
        status.OK,
        "hi 1",
        { "x-trailer": "t", "x-bin": Buffer.from([0, 255]) },
      ]);
    });

    test("a call that fails: status, message and trailers are the server's", async () => {
      const { code, details, trailers } = await callUnary(client, "fail", metadata());
      expect([code, details, trailers.get("x-trailer")]).toEqual([status.FAILED_PRECONDITION, "not so", ["t"]]);
    });

    test("D45: a call that is refused before it is understood has a status of gRPC as well", async () => {
      const session = await openHttp2(`http://127.0.0.1:${rig.port}`);
      const headers = ["content-type", "application/grpc", "x_a", "1"];
      const reply = await askHttp2(session, "/test.Echo/Say", { method: "POST", headers, body: "x" });
      session.destroy();
      expect([reply.status, valuesOf(reply.headers, "grpc-status")]).toEqual([200, ["13"]]);
    });

    test("a client streams", async () => {
      const text = await new Promise<string>((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = ECHO.Upload;
        const call = client.makeClientStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          metadata(),
          (error, value) => (error === null ? resolve(value ?? "") : reject(error)),
        );
        for (const part of ["a", "b", "c"]) call.write(part);
        call.end();
      });
      expect(text).toBe("a,b,c");
    });

    test("a server streams", async () => {
      const got: string[] = [];
      await new Promise<void>((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = ECHO.Download;
        client
          .makeServerStreamRequest(path, requestSerialize, responseDeserialize, "n", metadata())
          .on("data", (text: string) => got.push(text))
          .on("error", reject)
          .on("end", resolve);
      });
      expect(got).toEqual(Array.from({ length: 50 }, (_, i) => `n${i}`));
    });

    test("both stream, each message answered before the next is sent", async () => {
      const { path, requestSerialize, responseDeserialize } = ECHO.Chat;
      const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata());
      const next = async (): Promise<string> => new Promise((resolve) => call.once("data", resolve));
      for (const text of ["one", "two", "three"]) {
        call.write(text);
        expect(await next()).toBe(`echo ${text}`);
      }
      const ended = new Promise<number>((resolve) => call.on("status", ({ code }) => resolve(code)));
      call.end();
      expect(await ended).toBe(status.OK);
    });

    test("calls at the same time do not wait for each other", async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 200 }, async (_, i) => callUnary(client, `n${i}`, metadata())),
      );
      expect(outcomes.map(({ text }) => text)).toEqual(outcomes.map((_, i) => `n${i} 1`));
    });

    test.for<[string, string, string, number]>([
      [
        "no route",
        "rules: [{matches: [{grpc: {service: other.One}}], backendRefs: [{name: echo, port: 80}]}]",
        "NoRoute",
        12,
      ],
      ["no backend by that name", "rules: [{backendRefs: [{name: gone, port: 80}]}]", "InvalidBackend", 2],
      ["a rule without backends", "rules: [{name: x}]", "NoBackends", 2],
      ["a backend that refuses", "rules: [{backendRefs: [{name: refusing, port: 80}]}]", "ConnectFailure", 14],
      ["a backend without endpoints", "rules: [{backendRefs: [{name: empty, port: 80}]}]", "NoEndpoints", 14],
      [
        "a backend that takes too long",
        "rules: [{backendRefs: [{name: slow, port: 80}], timeouts: {request: 100ms}}]",
        "RequestTimeout",
        14,
      ],
      [
        "a body over the limit",
        "rules: [{backendRefs: [{name: echo, port: 80}], maxRequestBody: '1'}]",
        "BodyTooLarge",
        2,
      ],
    ])("D45: %s is the status that Envoy would give", async ([, spec, details, code]) => {
      const slow = await new Backend("slow").start();
      slow.answer = () => undefined;
      const more =
        grpcService("refusing", [await closedPort()]) + serviceYaml("slow", [slow.port]) + serviceYaml("empty", []);
      await serve(spec, more);
      const outcome = await callUnary(client, "hello", metadata());
      await slow.stop();
      expect([outcome.details, outcome.code]).toEqual([details, code]);
    });

    /** A call as a browser makes it, over HTTP/1.1: what came back, frame by frame. */
    const callWeb = async (
      text: string,
      form: "" | "-text",
      method = "Unary",
    ): Promise<{ type: string; status: string; frames: string[] }> => {
      const message = Buffer.from(text);
      const head = Buffer.alloc(5);
      head.writeUInt32BE(message.length, 1);
      const bytes = Buffer.concat([head, message]);
      // Cut where no group of four ends, and padded within: both are allowed.
      const sent =
        form === "" ? [bytes] : ([head.toString("base64"), message.toString("base64")].join("").match(/.{1,7}/g) ?? []);
      const reply = await fetchRaw(`/test.Echo/${method}`, `application/grpc-web${form}+proto`, sent);
      let body =
        form === ""
          ? reply.body
          : Buffer.concat(
              (reply.body.toString("latin1").match(/[^=]+=*/g) ?? []).map((one) => Buffer.from(one, "base64")),
            );
      const frames: string[] = [];
      while (body.length >= 5) {
        const length = body.readUInt32BE(1);
        frames.push(`${body[0] === 0x80 ? "trailers " : ""}${body.subarray(5, 5 + length).toString()}`);
        body = body.subarray(5 + length);
      }
      return { type: reply.type, status: reply.status, frames };
    };
    const fetchRaw = async (
      path: string,
      type: string,
      parts: readonly (string | Buffer)[],
    ): Promise<{ body: Buffer; type: string; status: string }> =>
      new Promise((resolve, reject) => {
        const headers = { host: "a.example.com", "content-type": type, "x-a": "1" };
        const outgoing = request({ host: "127.0.0.1", port: rig.port, path, method: "POST", headers }, (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", reject);
          incoming.on("end", () =>
            resolve({
              body: Buffer.concat(chunks),
              type: incoming.headers["content-type"] ?? "",
              status: String(incoming.headers["grpc-status"] ?? ""),
            }),
          );
        });
        outgoing.on("error", reject);
        for (const part of parts) outgoing.write(part);
        outgoing.end();
      });

    test.for(["", "-text"] as const)(
      "gRPC-Web%s: a browser's call reaches a gRPC server, trailers come as the last frame",
      async (form) => {
        const unary = await callWeb("hello", form);
        expect(unary.type).toBe(`application/grpc-web${form}+proto`);
        expect(unary.frames).toHaveLength(2);
        expect(unary.frames[0]).toBe("hello 1");
        expect(unary.frames[1]).toMatch(/^trailers .*grpc-status:0\r\n/s);
        expect(unary.frames[1]).toContain("x-trailer:t\r\n");
        const failed = await callWeb("fail", form);
        expect([failed.status, failed.frames]).toEqual(["9", []]);
        const streamed = await callWeb("n", form, "Download");
        expect(streamed.frames.slice(0, -1)).toEqual(Array.from({ length: 50 }, (_, i) => `n${i}`));
      },
    );

    test("gRPC-Web reaches a fallback that speaks HTTP/1.1 as it came", async () => {
      const sorry = await new Backend("sorry").start();
      const fallback = "fallback: {backendRef: {name: sorry, port: 80}}, backendRefs: [{name: empty, port: 80}]";
      await serve(`rules: [{${fallback}}]`, serviceYaml("sorry", [sorry.port]) + grpcService("empty", []));
      await callWeb("hello", "");
      expect(sorry.seen[0]?.headers).toContain("application/grpc-web+proto");
      await sorry.stop();
    });

    test("a cancelled call ends at the server", async () => {
      const { path, requestSerialize, responseDeserialize } = ECHO.Chat;
      const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata());
      call.on("error", () => undefined);
      call.write("one");
      await new Promise((resolve) => call.once("data", resolve));
      call.cancel();
      expect((await callUnary(client, "after", metadata())).text).toBe("after 1");
    });
  });
}
