// SPDX-License-Identifier: Apache-2.0
#include "replicate/finish.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace umbra::replicate {
namespace {

ports::FrozenPoint frozen_point(const Context& context, const FinishRequest& request, const model::Ground& ground) {
  ports::FrozenPoint frozen;
  frozen.vm = request.vm;
  frozen.host = request.primary;
  frozen.shadow = request.shadow;
  frozen.disks = request.frozen;
  frozen.checkpoints = request.checkpoints;
  frozen.taken_at = request.taken_at;

  const auto own = context.transport.connect(request.primary);
  for (model::Disk& disk : frozen.disks) {
    if (!disk.chain.empty()) continue;
    disk.chain = own->chain(disk.path);
    std::erase(disk.chain, disk.path);
  }
  if (request.own && ground.parent)
    frozen.stands_on = ports::layers_below(own->points(*request.own), *ground.parent, frozen.disks);
  return frozen;
}

/// Whether an earlier call for the same freeze committed its point, and it is not damaged.
bool is_there(const FinishRequest& request, const std::vector<model::PointInfo>& points) {
  return request.parent && !points.empty() && points.back().number > *request.parent &&
         points.back().taken_at == request.taken_at && points.back().sound();
}

}  // namespace

PassResult finish(const Context& context, const FinishRequest& request) {
  const base::Millis began = context.clock.steady();
  const auto far = context.transport.connect(request.shadow_host);
  const std::vector<model::PointInfo> points = far->points(request.shadow);
  return ports::with_what_is_safe(
      fmt::format("sending the last delta of {} from {} to {}", request.vm.get(), request.primary.get(),
                  request.shadow_host.get()),
      points, [&] {
        ports::SentPoint sent;
        if (is_there(request, points)) {
          sent.info = points.back();
          sent.choice = {ports::Method::above, std::nullopt, "the point of this freeze is there already"};
        } else {
          const model::Ground ground = far->examine(request.shadow);
          sent = ports::send_frozen(context, *far, ground, frozen_point(context, request, ground), request.bandwidth);
        }
        ports::require_equal(*far, request.shadow, request.vm, sent.info.number);
        PassResult result;
        result.replica = ports::replica_of(context, sent, began);
        return result;
      });
}

}  // namespace umbra::replicate
