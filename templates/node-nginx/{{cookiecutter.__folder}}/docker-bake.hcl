# docker buildx bake            the runtime image
# docker buildx bake debug      the same with a shell
# docker buildx bake test       only the tests; no image
# docker buildx bake release    push the runtime image with provenance and SBOM; CI does this for one platform at a time

variable "IMAGE" {
  default = "{{ cookiecutter.__image_repository }}"
}

variable "VERSION" {
  default = "0.0.0-dev"
}

variable "REVISION" {
  default = "unknown"
}

variable "CREATED" {
  default = "1970-01-01T00:00:00Z"
}

# Comma-separated platforms of a release.
variable "PLATFORMS" {
  default = "linux/amd64,linux/arm64"
}

# Path of a CA bundle, on networks that intercept TLS.
variable "CA_CERTIFICATES" {
  default = ""
}

group "default" {
  targets = ["runtime"]
}

group "release" {
  targets = ["published"]
}

# Compressed with zstd: after an edit, gzip would take longer than everything else that Docker does.
target "_common" {
  output = ["type=docker,compression=zstd,oci-mediatypes=true"]
  secret = CA_CERTIFICATES == "" ? [] : ["id=ca-certificates,src=${CA_CERTIFICATES}"]
}

target "runtime" {
  inherits = ["_common"]
  target   = "runtime"
  tags     = ["${IMAGE}:${VERSION}"]
  args = {
    VERSION  = VERSION
    REVISION = REVISION
    CREATED  = CREATED
  }
}

target "debug" {
  inherits = ["_common"]
  target   = "debug"
  tags     = ["${IMAGE}:debug"]
}

target "test" {
  inherits = ["_common"]
  target   = "test"
  output   = ["type=cacheonly"]
}

target "published" {
  inherits  = ["runtime"]
  platforms = split(",", PLATFORMS)
  attest    = ["type=provenance,mode=max", "type=sbom"]
  output    = ["type=registry"]
}
