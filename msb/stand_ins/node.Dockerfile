# Stand-in for node:26-trixie-slim. The named context `npm` is what npm itself installs from the packages of node and
# npm: the genuine Node, of the host's architecture.

# debian: what mmdebstrap made on the host.
FROM scratch AS debian
ADD trixie.tar /

# moved: the package of node in the official image's layout.
FROM debian AS moved
COPY --from=npm / /moved/
RUN cd /moved && rm bin/node && package=$(echo lib/node_modules/node-linux-*) && \
    mkdir -p bin include share && mv "$package"/bin/* bin/ && mv "$package"/include/* include/ && \
    mv "$package"/share/* share/ && mv "$package"/CHANGELOG.md "$package"/LICENSE "$package"/README.md . && \
    rm -r "$package" && ln -s node bin/nodejs

# node: node:26-trixie-slim
FROM debian AS node
RUN apt-get -qq update && apt-get -qq install --no-install-recommends libatomic1 >/dev/null && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY --from=moved /moved/ /usr/local/
RUN echo 'node:x:1000:1000::/home/node:/bin/bash' >>/etc/passwd && echo 'node:x:1000:' >>/etc/group && \
    install -d -o 1000 -g 1000 /home/node && node --version && npm --version
CMD ["node"]
