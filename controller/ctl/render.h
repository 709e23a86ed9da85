// SPDX-License-Identifier: Apache-2.0
//
// Answers of the controller -> text for people. Pure: the time and the terminal come in as values.
// Whatever a node or an engine wrote is made printable first.
#ifndef CONTROLLER_CTL_RENDER_H_
#define CONTROLLER_CTL_RENDER_H_

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "npufleet/v1/controller.pb.h"

namespace npufleet::ctl {

struct View {
  absl::Time now;
  absl::TimeZone zone;
  bool colour = false;
};

// The whole of `ctl rollout status NAME`: headline, stages by node, what each open task waits for,
// failures with log tails, endpoint, critical path, notes.
std::string RenderRollout(const v1::Rollout& rollout, const View& view);
// The same without log tails and notes: what is redrawn in place.
std::string RenderProgress(const v1::Rollout& rollout, const View& view);
// What a request to control a rollout has done: one sentence, then what is open.
std::string RenderControl(v1::ControlRolloutRequest::Verb verb, const v1::Rollout& rollout,
                          const View& view);
std::string RenderRollouts(const v1::ListRolloutsReply& rollouts, const View& view);
std::string RenderPlan(const v1::Plan& plan, const View& view);
// The plan as a shell script by node: comments say what is skipped and why.
std::string RenderCommands(const v1::Plan& plan, const View& view);
// A tree: each thing that is waited for stands two columns further in.
std::string RenderExplanation(const v1::Explanation& explanation, const View& view);
std::string RenderRevisions(const v1::ListRevisionsReply& revisions, const View& view);
std::string RenderEvent(const v1::Event& event, const View& view);
std::string RenderNodes(const v1::ListNodesReply& nodes, const View& view);
std::string RenderNode(const v1::NodeStatus& node, const View& view);
// All chips of the fleet.
std::string RenderChips(const v1::ListNodesReply& nodes, const View& view);
std::string RenderNotes(const google::protobuf::RepeatedPtrField<std::string>& notes,
                        const View& view);
// A request that can be pasted into a shell.
std::string CurlLine(const v1::Rollout& rollout);

// For those who cannot be redrawn to: a line for each thing that changed since the last call.
class ChangeLines {
 public:
  std::vector<std::string> Next(const v1::Rollout& rollout, const View& view);

 private:
  std::string headline_;
  std::map<std::string, std::string> tasks_;  // id -> what was last said
};

// "PROGRESSING" -> "progressing".
std::string PhaseName(v1::Rollout::Phase phase);
// Serving, and nothing is left to be made true.
bool IsSettled(const v1::Rollout& rollout);

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_RENDER_H_
