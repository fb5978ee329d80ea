// SPDX-License-Identifier: Apache-2.0
#pragma once
// A base::Line over TLS 1.3 by OpenSSL, both ends known to each other: by certificates of one CA, or by a key that both
// have. Nothing older is spoken, and nothing in plain. Touches sockets, and the files that the configuration names.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/cancel.hpp"
#include "base/clock.hpp"
#include "base/fd.hpp"
#include "base/line.hpp"
#include "model/config.hpp"

namespace umbra::tls {

using base::Address;

/// Kind::usage where it is neither a CA with an own certificate and its key, nor a key file, or is both.
void check_complete(const model::TlsFiles& files, const std::string& how_to_give);
/// Loads them and lets go: what can't be used is told before anything is waited for.
void check_files(const model::TlsFiles& files);
/// When the own certificate ends; nothing where there is none.
std::optional<base::Instant> certificate_end(const model::TlsFiles& files);

struct Timing {
  base::Millis connect{10'000};    ///< of a client, for each address of the far end
  base::Millis handshake{10'000};  ///< of a server: from the accepted connection to a client that has shown who it is
  base::Millis idle{0};            ///< most silence of the other side that is waited for; 0: any
};

/// The far end that listens at `address`, known by its certificate's name or address, or by the key. `cancel` may be
/// null. Kind::unreachable where nothing answers, or it hangs up, Kind::refused where the two don't accept each other.
std::unique_ptr<base::Line> connect(const Address& address, const model::TlsFiles& files, const Timing& timing,
                                    const base::CancelToken* cancel);

/// A client that has shown who it is.
struct Client {
  std::unique_ptr<base::Line> line;
  std::vector<std::string> names;  ///< of its certificate, or its key's identity
  bool allowed = true;             ///< one that is not may be told so over the line, which waits for it a moment only
};
/// The server's side, on a connection that was accepted; `allow` holds the names that are let in, all where it is
/// empty. Kind::refused, with the reason, of a client that does not come through the handshake; it is told as far as
/// TLS tells. Kind::unreachable of one that went away.
Client accept(base::UniqueFd socket, const model::TlsFiles& files, const std::vector<std::string>& allow,
              const Timing& timing, const base::CancelToken* cancel);

}  // namespace umbra::tls
