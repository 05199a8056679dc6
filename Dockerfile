# The tree is made by hack/rootfs, which the tests run as well; this file only puts it on a base with a C library.
FROM node:24-bookworm AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN hack/rootfs /rootfs

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /rootfs/ /
USER 65532:65532
# At the heap limit Node says so and ends with 134, which a kernel that runs out of memory would not.
ENTRYPOINT ["/bin/node", "--disable-proto=delete", "--disallow-code-generation-from-strings", "--max-old-space-size-percentage=75", "/app/dist/main.js"]
CMD ["controller"]
