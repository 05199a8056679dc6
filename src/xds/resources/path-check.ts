import { METADATA } from "./metadata.ts";

/**
 * Runs in Envoy on a path that a pattern has changed: what is no path is answered 500, and what leads through dots or
 * several slashes is made plain, so that no substitution leads out of a folder (B36). The same as `changedPath` in
 * src/routing/rewrite.ts.
 */
export const PATH_CHECK = `
local function plain(hex)
  local char = string.char(tonumber(hex, 16))
  if string.find(char, "[A-Za-z0-9._~-]") then return char end
  return "%" .. string.upper(hex)
end

local function normal(path)
  if not string.find(path, "^/") or string.find(path, "^//") then return nil end
  if string.find(path, "[^!$-;=@-Z_a-z~]") then return nil end
  if string.find((string.gsub(path, "%%%x%x", "")), "%", 1, true) then return nil end
  path = string.gsub(path, "%%(%x%x)", plain)
  for _, bad in ipairs({"%00", "%2F", "%5C"}) do
    if string.find(path, bad, 1, true) then return nil end
  end
  local kept = {}
  local tail = ""
  for segment in string.gmatch(path, "/([^/]*)") do
    tail = ""
    if segment == ".." then table.remove(kept) tail = "/"
    elseif segment == "." or segment == "" then tail = "/"
    else table.insert(kept, segment) end
  end
  return "/" .. table.concat(kept, "/") .. (#kept > 0 and tail or "")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local whole = headers:get(":path")
  local path, query = string.match(whole, "^([^?]*)(.*)$")
  local made = normal(path)
  if made == nil then
    handle:streamInfo():dynamicMetadata():set("${METADATA}", "reason", "InvalidRule")
    handle:respond({[":status"] = "500", ["content-type"] = "text/plain; charset=utf-8"}, "InvalidRule\\n")
  elseif made ~= path then
    headers:replace(":path", made .. query)
  end
end
`;
