import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface PodFiles {
  /** Mount path → file name → content, read-only. */
  readonly files: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** Mount paths of empty folders that the process may write to. */
  readonly writable: readonly string[];
}

export interface PodProcessSpec {
  readonly rootfs: string;
  readonly folder: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly uid: number;
  readonly gid: number;
  readonly readOnlyRoot: boolean;
  readonly volumes: PodFiles;
  readonly ip: string;
  readonly veth: string;
}

/** Next hop of every pod, on the loopback of the cluster's namespace. */
export const NODE_IP = "198.18.0.1";

const sh = (command: string, args: readonly string[], input = ""): string =>
  execFileSync(command, [...args], { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** What the image's base brings: a C library, devices, the kernel's view of processes. */
const BASE = ["/lib", "/lib64", "/usr/lib", "/dev", "/proc", "/etc/ssl"];

function prepareRoot({ rootfs, folder, volumes }: PodProcessSpec): string {
  const root = join(folder, "root");
  mkdirSync(folder, { recursive: true });
  sh("cp", ["-al", rootfs, root]);
  for (const path of BASE) mkdirSync(join(root, path), { recursive: true });
  for (const [path, files] of volumes.files) {
    mkdirSync(join(root, path), { recursive: true });
    for (const [name, content] of Object.entries(files))
      writeFileSync(join(root, path, name), content, { mode: 0o644 });
  }
  for (const path of volumes.writable) mkdirSync(join(root, path), { recursive: true });
  return root;
}

/** Mounts, then waits on stdin until the network is there, then becomes the program. */
function script(spec: PodProcessSpec, root: string): string {
  const writable = spec.volumes.writable.flatMap((path, i) => {
    const host = join(spec.folder, `volume-${i}`);
    mkdirSync(host, { recursive: true });
    sh("chown", [`${spec.uid}:${spec.gid}`, host]);
    return [`mount --bind ${quote(host)} ${quote(join(root, path))}`];
  });
  return [
    "set -e",
    `mount --bind ${quote(root)} ${quote(root)}`,
    ...BASE.map((path) => `mount --rbind ${path} ${quote(join(root, path))} 2>/dev/null || true`),
    ...writable,
    ...(spec.readOnlyRoot ? [`mount -o remount,bind,ro ${quote(root)}`] : []),
    "echo R",
    "read _",
    `exec chroot --userspec=${spec.uid}:${spec.gid} ${quote(root)} /usr/bin/env -i ${Object.entries(spec.env)
      .map(([k, v]) => quote(`${k}=${v}`))
      .join(" ")} ${spec.command.map(quote).join(" ")} </dev/null`,
  ].join("\n");
}

/** A pod's container as a process in a network and a mount namespace of its own, joined to the cluster's by a veth pair. */
export async function startPodProcess(spec: PodProcessSpec, onLine: (line: string) => void): Promise<ChildProcess> {
  const root = prepareRoot(spec);
  mkdirSync(join(root, "usr/bin"), { recursive: true });
  sh("cp", ["/usr/bin/env", join(root, "usr/bin/env")]);
  const child = spawn(
    "setpriv",
    [
      "--pdeathsig",
      "KILL",
      "--",
      "unshare",
      "--net",
      "--mount",
      "--propagation",
      "private",
      "sh",
      "-c",
      script(spec, root),
    ],
    { stdio: ["pipe", "pipe", "pipe"] },
  );
  let wired: (() => void) | undefined;
  const readyToWire = new Promise<void>((resolve, reject) => {
    wired = resolve;
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`ended with ${code ?? -1} before it started`)));
  });
  const follow = (chunk: Buffer): void => {
    for (const line of chunk.toString().split("\n")) {
      if (line === "R") wired?.();
      else if (line !== "") onLine(line);
    }
  };
  child.stdout.on("data", follow);
  child.stderr.on("data", follow);
  await readyToWire;
  wire(spec, child.pid ?? 0);
  child.stdin.end("\n");
  return child;
}

function wire({ ip, veth }: PodProcessSpec, pid: number): void {
  sh(
    "ip",
    ["-batch", "-"],
    `link add ${veth} type veth peer name eth0 netns ${pid}\nlink set ${veth} up\nroute add ${ip}/32 dev ${veth}\n`,
  );
  const inside = `link set lo up\naddr add ${ip}/32 dev eth0\nlink set eth0 up\nroute add ${NODE_IP}/32 dev eth0 scope link\nroute add default via ${NODE_IP}\n`;
  sh("nsenter", ["-t", String(pid), "-n", "ip", "-batch", "-"], inside);
}
