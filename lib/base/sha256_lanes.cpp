// SPDX-License-Identifier: Apache-2.0
#include "base/sha256_lanes.hpp"

#include <algorithm>
#include <vector>

#include "base/error.hpp"

#ifdef UMBRA_HAS_IPSEC_MB
#define NO_COMPAT_IMB_API_053  // names that OpenSSL has too
#include <intel-ipsec-mb.h>
#endif

namespace umbra::base {

#ifdef UMBRA_HAS_IPSEC_MB

namespace {

using Manager = std::unique_ptr<IMB_MGR, decltype(&free_mb_mgr)>;

/// One thread's. Null where it can't be had.
Manager make_manager() {
  Manager manager(alloc_mb_mgr(0), &free_mb_mgr);
  IMB_ARCH found = IMB_ARCH_NONE;
  if (manager) init_mb_mgr_auto(manager.get(), &found);
  if (found != IMB_ARCH_AVX512) manager.reset();  // with less, OpenSSL is as fast
  return manager;
}

IMB_MGR* manager() {
  thread_local const Manager own = make_manager();
  return own.get();
}

void count_done(const IMB_JOB* job, std::size_t& done) {
  if (job->status != IMB_STATUS_COMPLETED)
    throw Error(Kind::internal, "libipsec-mb could not compute a SHA-256 digest");
  ++done;
}

void digest_all(IMB_MGR& by, std::span<const std::span<const std::byte>> messages, std::span<Digest> digests) {
  std::size_t done = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    IMB_JOB* job = IMB_GET_NEXT_JOB(&by);
    *job = {};
    job->cipher_mode = IMB_CIPHER_NULL;
    job->cipher_direction = IMB_DIR_ENCRYPT;
    job->chain_order = IMB_ORDER_HASH_CIPHER;
    job->hash_alg = IMB_AUTH_SHA_256;
    job->src = reinterpret_cast<const std::uint8_t*>(messages[i].data());
    job->msg_len_to_hash_in_bytes = messages[i].size();
    job->auth_tag_output = reinterpret_cast<std::uint8_t*>(digests[i].bytes.data());
    job->auth_tag_output_len_in_bytes = digests[i].bytes.size();
    // Unchecked: what checks it takes 65,534 bytes for the longest message, as for the digests with a key, though its
    // lanes count blocks of 64 bytes. has_lanes() has compared the longest that is asked for here.
    for (job = IMB_SUBMIT_JOB_NOCHECK(&by); job != nullptr; job = IMB_GET_COMPLETED_JOB(&by)) count_done(job, done);
  }
  while (const IMB_JOB* job = IMB_FLUSH_JOB(&by)) count_done(job, done);
  if (done != messages.size()) throw Error(Kind::internal, "libipsec-mb lost a SHA-256 digest");
}

/// A processor, or a library, that gets it wrong is found out before anything depends on it: no lane gives another's
/// digest, and each gives the right one of the longest message.
bool agrees_with_openssl() {
  IMB_MGR* by = manager();
  if (by == nullptr) return false;
  constexpr std::size_t short_length = 1025;
  std::vector<std::byte> bytes(longest_in_lanes);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  const std::span<const std::byte> all(bytes);
  std::vector<std::span<const std::byte>> others;
  for (std::size_t i = 0; i < most_lanes; ++i) others.push_back(all.subspan(i, short_length));
  std::vector<Digest> found(most_lanes);
  digest_all(*by, others, found);
  if (!std::ranges::equal(others, found, {}, &sha256)) return false;
  digest_all(*by, std::vector<std::span<const std::byte>>(most_lanes, all), found);
  return found == std::vector<Digest>(most_lanes, sha256(all));
}

}  // namespace

bool has_lanes() noexcept {
  static const bool found = [] {
    try {
      return agrees_with_openssl();
    } catch (const std::exception&) {
      return false;
    }
  }();
  return found && manager() != nullptr;
}

void sha256_in_lanes(std::span<const std::span<const std::byte>> messages, std::span<Digest> digests) {
  digest_all(*manager(), messages, digests);
}

#else

bool has_lanes() noexcept {
  return false;
}
void sha256_in_lanes(std::span<const std::span<const std::byte>>, std::span<Digest>) {}

#endif

}  // namespace umbra::base
