# The access envelope, with the programs of both of its backends. From the repository's root, after `npm run build`:
#   docker build --file deploy/docker/envelope.Dockerfile --build-arg NODE_ARCH=x64 --tag sandgate-envelope:0.1.0 .
# It needs one capability, and nothing else of root:
#   docker run --cap-drop ALL --cap-add NET_ADMIN --security-opt no-new-privileges --read-only \
#     --network container:SERVICE --volume /etc/envelope:/etc/envelope:ro --volume envelope:/var/lib/sandgate-envelope sandgate-envelope:0.1.0
FROM debian:bookworm-slim
ARG NODE_ARCH=x64
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates ipset iptables nftables \
 && rm -rf /var/lib/apt/lists/*
COPY node_modules/node-linux-${NODE_ARCH}/bin/node /usr/local/bin/node
COPY dist/envelope.mjs /opt/sandgate/envelope.mjs
# Root, for a capability of a container counts for no other user; without the capabilities that it does not need, root is nobody.
USER 0:0
VOLUME /var/lib/sandgate-envelope
ENTRYPOINT ["/usr/local/bin/node", "/opt/sandgate/envelope.mjs"]
CMD ["--config", "/etc/envelope/envelope.yaml"]
