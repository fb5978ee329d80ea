// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <list>
#include <vector>

#include "adapters/nbd/part_writer.hpp"
#include "adapters/nbd/qemu_nbd.hpp"

namespace umbra::nbd {
namespace {

constexpr std::size_t most_writes = 16;
constexpr std::size_t most_joined = 1u << 20;  // neighbouring blocks go out as one request of at most this
constexpr std::uint64_t most_zero = 1u << 30;  // a request's length is 32-bit, and a cluster must not be torn

class LayerWriter final : public PartWriter {
 public:
  explicit LayerWriter(std::filesystem::path layer)
      : m_layer(std::move(layer)), m_server({.path = m_layer, .format = "qcow2", .read_only = false}) {
    m_server.connect(m_connection);
    m_joined.reserve(most_joined);
  }

  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    const bool continues = m_joined_at + m_joined.size() == offset && m_joined.size() + data.size() <= most_joined;
    if (!m_joined.empty() && !continues) send_joined();
    if (m_joined.empty()) m_joined_at = offset;
    m_joined.insert(m_joined.end(), data.begin(), data.end());
    if (!m_requests.empty()) m_connection.nudge();
  }

  void zero(std::uint64_t offset, std::uint64_t length) override {
    for (; length > 0;) {
      const std::uint64_t piece = std::min(length, most_zero);
      Request& request = next_request(offset);
      m_connection.start_zero(offset, piece, request.completion);
      offset += piece;
      length -= piece;
    }
  }

  void read(std::uint64_t offset, std::span<std::byte> buffer) override { m_connection.read(offset, buffer); }

  void drain() override {
    if (!m_joined.empty()) send_joined();
    while (!m_requests.empty()) settle();
  }

  void finish() override {
    drain();
    m_connection.flush();
    m_connection.shut_down();
    m_connection.close();
    m_server.finish();
    base::sync_fd(base::open_file(m_layer, O_RDONLY).get(), m_layer.string());
  }

 private:
  struct Request {
    std::uint64_t offset = 0;
    std::vector<std::byte> data;
    Completion completion;
  };

  void send_joined() {
    Request& request = next_request(m_joined_at);
    request.data.swap(m_joined);
    m_joined.clear();
    m_connection.start_write(request.offset, request.data, request.completion);
  }

  /// A free request; its old buffer is kept for the next join.
  Request& next_request(std::uint64_t offset) {
    while (m_requests.size() >= most_writes) settle();
    m_requests.emplace_back().offset = offset;
    return m_requests.back();
  }

  /// Waits until at least one request has ended, and throws where one failed.
  void settle() {
    const auto ended = [](const Request& r) { return r.completion.done; };
    while (std::none_of(m_requests.begin(), m_requests.end(), ended)) m_connection.poll();
    for (const Request& r : m_requests) {
      if (r.completion.done && r.completion.error != 0)
        throw base::from_errno(r.completion.error, fmt::format("write {} at offset {}", m_layer.string(), r.offset));
    }
    m_requests.remove_if(ended);
  }

  std::filesystem::path m_layer;
  QemuNbd m_server;
  std::vector<std::byte> m_joined;
  std::uint64_t m_joined_at = 0;
  std::list<Request> m_requests;  // in place while in flight; outlives the connection below
  Connection m_connection;
};

}  // namespace

std::unique_ptr<PartWriter> open_layer(const std::filesystem::path& layer) {
  if (std::unique_ptr<PartWriter> fresh = open_fresh_layer(layer)) return fresh;
  return std::make_unique<LayerWriter>(layer);
}

}  // namespace umbra::nbd
