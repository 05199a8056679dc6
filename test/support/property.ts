import fc from "fast-check";

/** What property tests start from: printed, so that a run can be had again with SERVICEROUTE_SEED. */
const seed = Number(process.env["SERVICEROUTE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** The mutation run only asks whether a test fails: there the smallest example is not worth its time. */
const endOnFailure = process.env["SERVICEROUTE_TEST_SHRINK"] === "off";
fc.configureGlobal({ seed, endOnFailure });
console.log(`# seed ${seed}`);

export { fc };
