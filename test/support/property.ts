import fc from "fast-check";

/** What property tests start from: printed, so that a run can be had again with SERVICEROUTE_SEED. */
const seed = Number(process.env["SERVICEROUTE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
fc.configureGlobal({ seed });
console.log(`# seed ${seed}`);

export { fc };
