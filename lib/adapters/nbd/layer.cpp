// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/layer.hpp"

#include "adapters/nbd/source.hpp"

namespace umbra::nbd {
namespace {

bool tells_depth(const model::Part& part, Depth depth) {
  return depth != whole_chain && !part.is_memory();
}

ServeOptions options_of(const std::filesystem::path& file, const model::Part& part, Depth depth) {
  ServeOptions options{.path = file, .format = part.is_memory() ? "raw" : "qcow2"};
  if (tells_depth(part, depth)) {
    options.allocation_depth = true;
    options.description = depth_description(depth + 1);  // what lies above the file of that depth
  }
  return options;
}

}  // namespace

Layer::Layer(const std::filesystem::path& file, const model::Part& part, Depth depth)
    : m_server(options_of(file, part, depth)) {
  const std::string context = tells_depth(part, depth) ? "qemu:allocation-depth" : "";
  Connection connection;
  prepare(connection, context);
  m_server.connect(connection);
  m_source.emplace(std::move(connection), context, std::any{});
}

}  // namespace umbra::nbd
