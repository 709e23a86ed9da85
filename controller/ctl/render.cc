// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/render.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "controller/ctl/text.h"

namespace npufleet::ctl {
namespace {

using google::protobuf::Timestamp;

absl::Time ToTime(const Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}
absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}
std::string Clock(const Timestamp& timestamp, const View& view) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", ToTime(timestamp), view.zone);
}

template <typename Enum>
std::string LowerName(const std::string& (*name)(Enum), Enum value) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(name(value)), {{"_", " "}});
}

std::string StateName(v1::Task::State state) {
  return absl::AsciiStrToLower(v1::Task::State_Name(state));
}

Style StateStyle(v1::Task::State state) {
  switch (state) {
    case v1::Task::CURRENT:
      return Style::kGreen;
    case v1::Task::RUNNING:
    case v1::Task::CHECKING:
    case v1::Task::STOPPING:
      return Style::kCyan;
    case v1::Task::DRIFTED:
    case v1::Task::UNKNOWN:
      return Style::kYellow;
    case v1::Task::FAILED:
      return Style::kRed;
    default:
      return Style::kDim;
  }
}

Style PhaseStyle(v1::Rollout::Phase phase) {
  switch (phase) {
    case v1::Rollout::SERVING:
      return Style::kGreen;
    case v1::Rollout::PROGRESSING:
      return Style::kCyan;
    case v1::Rollout::FAILED:
      return Style::kRed;
    default:
      return Style::kYellow;
  }
}

bool IsRunning(const v1::Task& task) {
  return task.state() == v1::Task::RUNNING || task.state() == v1::Task::STOPPING;
}

// Of the newest operation: how long it took, or has taken until now. Empty when there was none.
std::string TaskDuration(const v1::Task& task, const View& view) {
  if (!task.has_start_time()) return "";
  if (IsRunning(task)) return ShortDuration(view.now - ToTime(task.start_time()));
  if (!task.has_end_time()) return "";
  return ShortDuration(ToTime(task.end_time()) - ToTime(task.start_time()));
}

std::string ProgressText(const v1::Progress& progress) {
  std::string text = Printable(progress.activity());
  if (progress.unit() == "percent") {
    return absl::StrCat(text, text.empty() ? "" : " ", progress.done(), " %");
  }
  auto amount = [&](uint64_t value) {
    return progress.unit() == "bytes" ? Bytes(value) : absl::StrCat(value);
  };
  if (progress.total() > 0) {
    absl::StrAppend(&text, text.empty() ? "" : " ", 100 * progress.done() / progress.total(),
                    " % (", amount(progress.done()), " of ", amount(progress.total()));
    absl::StrAppend(&text, progress.unit() == "bytes" ? "" : " " + progress.unit(), ")");
  } else if (progress.done() > 0) {
    absl::StrAppend(&text, text.empty() ? "" : " ", amount(progress.done()),
                    progress.unit() == "bytes" ? "" : " " + progress.unit());
  }
  return text;
}

std::string Why(const v1::Task& task, const View& view) {
  std::string why;
  if (IsRunning(task) && task.has_progress()) why = ProgressText(task.progress());
  if (why.empty()) why = Printable(task.reason());
  if (why.empty() && task.has_failure()) why = Printable(task.failure().symptom());
  if (task.has_retry_time() && ToTime(task.retry_time()) > view.now) {
    absl::StrAppend(&why, why.empty() ? "" : "; ", "again in ",
                    ShortDuration(ToTime(task.retry_time()) - view.now));
  }
  return why;
}

std::vector<std::string> NodesOf(const v1::Rollout& rollout) {
  std::vector<std::string> nodes;
  for (const v1::Task& task : rollout.tasks()) {
    if (!absl::c_linear_search(nodes, task.node())) nodes.push_back(task.node());
  }
  return nodes;
}

// A row a stage, a column a node.
std::string StageTable(const v1::Rollout& rollout, const View& view) {
  std::vector<std::string> nodes = NodesOf(rollout);
  std::vector<std::string> header = {"STAGE"};
  std::vector<std::string> stages;
  for (const std::string& node : nodes) header.push_back(node.empty() ? "-" : node);
  for (const v1::Task& task : rollout.tasks()) {
    if (!absl::c_linear_search(stages, task.stage())) stages.push_back(task.stage());
  }
  Table table(header);
  for (const std::string& stage : stages) {
    std::vector<Table::Cell> row = {{stage}};
    for (const std::string& node : nodes) {
      auto found = absl::c_find_if(rollout.tasks(), [&](const v1::Task& task) {
        return task.stage() == stage && task.node() == node;
      });
      if (found == rollout.tasks().end()) {
        row.push_back({"-", Style::kDim});
        continue;
      }
      std::string duration = TaskDuration(*found, view);
      row.push_back({absl::StrCat(StateName(found->state()), duration.empty() ? "" : " ", duration),
                     StateStyle(found->state())});
    }
    table.Add(std::move(row));
  }
  return table.Render(view.colour);
}

// Nodes that are not simply there.
std::string LostNodes(const v1::Rollout& rollout, const View& view) {
  std::string text;
  for (const v1::RolloutNode& node : rollout.nodes()) {
    if (node.reason().empty()) continue;
    const std::string title =
        absl::StrCat(node.name(), ": ", LowerName(&v1::Reach_Name, node.reach()));
    absl::StrAppend(&text, "\n", Styled(title, Style::kYellow, view.colour), "\n  ",
                    Printable(node.reason()), "\n");
  }
  return text;
}

// What is not simply as wanted, with its reason.
std::string OpenTasks(const v1::Rollout& rollout, const View& view) {
  Table table({"TASK", "STATE", "WHY"});
  for (const v1::Task& task : rollout.tasks()) {
    if (task.state() == v1::Task::CURRENT) continue;
    std::string why = Why(task, view);
    if (why.empty()) continue;
    table.Add({{task.id()}, {StateName(task.state()), StateStyle(task.state())}, {why}});
  }
  return table.Render(view.colour);
}

std::string FailureText(const v1::Task& task, bool with_log, const View& view) {
  const v1::Failure& failure = task.failure();
  std::string title =
      absl::StrCat(task.id(), ": ", LowerName(&v1::Failure::Class_Name, failure.class_()));
  if (!failure.redo_stage().empty()) absl::StrAppend(&title, " of ", failure.redo_stage());
  if (!failure.signature().empty()) absl::StrAppend(&title, ", ", failure.signature());
  if (task.attempts() > 0) {
    absl::StrAppend(&title, ", ", task.attempts(), task.attempts() == 1 ? " attempt" : " attempts");
  }
  std::string text = Styled(title, Style::kRed, view.colour) + "\n";
  absl::StrAppend(&text, "  symptom: ", Printable(failure.symptom()), "\n");
  if (!failure.advice().empty()) {
    absl::StrAppend(
        &text, "  advice:  ", Styled(Printable(failure.advice()), Style::kBold, view.colour), "\n");
  }
  if (!with_log || failure.log_tail().empty()) return text;
  absl::StrAppend(&text, "  log:\n");
  for (const std::string& line : failure.log_tail()) {
    absl::StrAppend(&text, "    ", Styled(Printable(line), Style::kDim, view.colour), "\n");
  }
  return text;
}

std::string Failures(const v1::Rollout& rollout, bool with_log, const View& view) {
  std::string text;
  for (const v1::Task& task : rollout.tasks()) {
    if (!task.has_failure() || task.state() == v1::Task::CURRENT) continue;
    absl::StrAppend(&text, "\n", FailureText(task, with_log, view));
  }
  return text;
}

std::string Headline(const v1::Rollout& rollout, const View& view) {
  std::string text = absl::StrCat(
      Styled(rollout.name(), Style::kBold, view.colour), "  revision ", rollout.revision(), "  ",
      Styled(PhaseName(rollout.phase()), PhaseStyle(rollout.phase()), view.colour));
  if (rollout.phase() == v1::Rollout::SERVING && rollout.has_serving_time()) {
    absl::StrAppend(&text, " for ", ShortDuration(view.now - ToTime(rollout.serving_time())));
  } else if (rollout.has_start_time()) {
    absl::StrAppend(&text, " for ", ShortDuration(view.now - ToTime(rollout.start_time())));
  }
  if (!rollout.reason().empty()) absl::StrAppend(&text, ": ", Printable(rollout.reason()));
  return text;
}

std::string EndpointText(const v1::Rollout& rollout) {
  if (rollout.endpoint().empty()) return "";
  return absl::StrCat("\nEndpoint  ", rollout.endpoint(), "/v1  model ",
                      rollout.served_model_name(), "\n  ", CurlLine(rollout), "\n");
}

std::string CriticalPathText(const v1::Rollout& rollout, const View& view) {
  const v1::CriticalPath& path = rollout.critical_path();
  if (path.tasks().empty()) return "";
  std::string text =
      absl::StrFormat("\nCritical path  %s, of it own work %s, overhead %.1f %%\n",
                      ShortDuration(ToDuration(path.wall())),
                      ShortDuration(ToDuration(path.work())), path.overhead_percent());
  std::vector<std::string> steps;
  for (const std::string& id : path.tasks()) {
    auto task =
        absl::c_find_if(rollout.tasks(), [&](const v1::Task& one) { return one.id() == id; });
    std::string duration = task == rollout.tasks().end() ? "" : TaskDuration(*task, view);
    steps.push_back(duration.empty() ? id : absl::StrCat(id, " ", duration));
  }
  return absl::StrCat(text, "  ", absl::StrJoin(steps, " > "), "\n");
}

// "This ends serving for about 41s, as long as it took the last time; not known is how long image@a
// takes."
std::string OutageOf(const v1::Plan& plan) {
  if (!plan.has_outage()) return "This ends serving while it lasts.";
  const absl::Duration outage = absl::Ceil(ToDuration(plan.outage()), absl::Seconds(1));
  std::string text = absl::StrCat("This ends serving for about ", absl::FormatDuration(outage),
                                  ", as long as it took the last time");
  if (plan.never_run_size() > 0) {
    absl::StrAppend(&text, "; beside that the time is not known of ",
                    absl::StrJoin(plan.never_run(), ", "));
  }
  return text + ".";
}

}  // namespace

std::string PhaseName(v1::Rollout::Phase phase) {
  return absl::AsciiStrToLower(v1::Rollout::Phase_Name(phase));
}

bool IsSettled(const v1::Rollout& rollout) {
  return rollout.phase() == v1::Rollout::SERVING &&
         absl::c_all_of(rollout.tasks(), [](const v1::Task& task) {
           return task.state() == v1::Task::CURRENT || task.state() == v1::Task::DRIFTED ||
                  task.state() == v1::Task::CHECKING;
         });
}

std::string CurlLine(const v1::Rollout& rollout) {
  return absl::StrCat(
      "curl ", rollout.endpoint(), "/v1/chat/completions -H 'Content-Type: application/json' -d '",
      R"({"model": ")", rollout.served_model_name(),
      R"(", "messages": [{"role": "user", "content": "你是谁"}], "max_tokens": 512}')");
}

std::string RenderNotes(const google::protobuf::RepeatedPtrField<std::string>& notes,
                        const View& view) {
  std::string text;
  for (const std::string& note : notes) {
    absl::StrAppend(&text, Styled("note: ", Style::kYellow, view.colour), Printable(note), "\n");
  }
  return text;
}

std::string RenderProgress(const v1::Rollout& rollout, const View& view) {
  std::string text = absl::StrCat(Headline(rollout, view), "\n\n", StageTable(rollout, view));
  if (std::string open = OpenTasks(rollout, view); !open.empty())
    absl::StrAppend(&text, "\n", open);
  absl::StrAppend(&text, LostNodes(rollout, view));
  return text + Failures(rollout, false, view);
}

std::string RenderRollout(const v1::Rollout& rollout, const View& view) {
  std::string text = absl::StrCat(Headline(rollout, view), "\n\n", StageTable(rollout, view));
  if (std::string open = OpenTasks(rollout, view); !open.empty())
    absl::StrAppend(&text, "\n", open);
  absl::StrAppend(&text, LostNodes(rollout, view));
  absl::StrAppend(&text, Failures(rollout, true, view), EndpointText(rollout),
                  CriticalPathText(rollout, view));
  if (!rollout.notes().empty()) absl::StrAppend(&text, "\n", RenderNotes(rollout.notes(), view));
  return text;
}

std::string RenderControl(v1::ControlRolloutRequest::Verb verb, const v1::Rollout& rollout,
                          const View& view) {
  std::vector<std::string> ending, going_on;
  for (const v1::Task& task : rollout.tasks()) {
    if (task.cancelling()) {
      ending.push_back(task.id());
    } else if (IsRunning(task)) {
      going_on.push_back(task.id());
    }
  }
  const auto list = [](const std::vector<std::string>& tasks) {
    return tasks.empty() ? std::string("nothing") : absl::StrJoin(tasks, ", ");
  };
  std::string text = absl::StrCat(rollout.name(), ": ");
  switch (verb) {
    case v1::ControlRolloutRequest::PAUSE:
      absl::StrAppend(&text, "paused; nothing new is started and nothing lost is repaired until ",
                      "`ctl rollout resume`; under way, to its end: ", list(going_on), "\n");
      break;
    case v1::ControlRolloutRequest::CANCEL:
      absl::StrAppend(&text, "cancelled; told to end: ", list(ending),
                      "; to its end goes: ", list(going_on),
                      "; nothing is started until `ctl rollout resume`, and what serves goes on\n");
      break;
    case v1::ControlRolloutRequest::UNDO:
      absl::StrAppend(&text, "revision ", rollout.revision(), " has the former spec and is ",
                      PhaseName(rollout.phase()), "\n");
      break;
    default:
      absl::StrAppend(&text, PhaseName(rollout.phase()), rollout.reason().empty() ? "" : ": ",
                      Printable(rollout.reason()), "\n");
  }
  return absl::StrCat(text, OpenTasks(rollout, view));
}

std::string RenderRollouts(const v1::ListRolloutsReply& rollouts, const View& view) {
  if (rollouts.rollouts().empty()) return "no rollouts; begin with: ctl rollout apply -f FILE\n";
  Table table({"NAME", "REVISION", "PHASE", "TASKS", "ENDPOINT", "REASON"});
  for (const v1::Rollout& rollout : rollouts.rollouts()) {
    auto current = absl::c_count_if(rollout.tasks(), [](const v1::Task& task) {
      return task.state() == v1::Task::CURRENT || task.state() == v1::Task::DRIFTED;
    });
    table.Add({{rollout.name()},
               {absl::StrCat(rollout.revision())},
               {PhaseName(rollout.phase()), PhaseStyle(rollout.phase())},
               {absl::StrCat(current, "/", rollout.tasks_size())},
               {rollout.endpoint().empty() ? "-" : rollout.endpoint()},
               {Printable(rollout.reason())}});
  }
  return table.Render(view.colour);
}

std::string RenderPlan(const v1::Plan& plan, const View& view) {
  std::string text;
  for (const std::string& blocked : plan.blocked()) {
    absl::StrAppend(&text, Styled("blocked: ", Style::kRed, view.colour), Printable(blocked), "\n");
  }
  Table table({"", "TASK", "ACTION", "WHY"});
  int number = 0;
  for (const v1::Plan::Step& step : plan.steps()) {
    std::string action = LowerName(&v1::Operation::Action_Name, step.action());
    if (step.reboot())
      action = step.action() == v1::Operation::ACTION_UNSPECIFIED ? "reboot" : action + ", reboot";
    if (step.disturbs()) action += ", disturbs";
    table.Add({{absl::StrCat(++number)},
               {step.task()},
               {action, step.disturbs() || step.reboot() ? Style::kYellow : Style::kPlain},
               {Printable(step.reason())}});
  }
  absl::StrAppend(&text, table.Render(view.colour));
  if (plan.steps().empty() && plan.blocked().empty()) absl::StrAppend(&text, "nothing to do\n");
  absl::StrAppend(&text, plan.steps_size(), plan.steps_size() == 1 ? " step, " : " steps, ",
                  plan.current_size(),
                  plan.current_size() == 1 ? " task is as wanted\n" : " tasks are as wanted\n");
  if (plan.interrupts_service()) {
    absl::StrAppend(&text, Styled(OutageOf(plan), Style::kYellow, view.colour), "\n");
  }
  return text + RenderNotes(plan.notes(), view);
}

std::string RenderCommands(const v1::Plan& plan, const View& view) {
  std::vector<std::string> nodes;
  for (const v1::Plan::Commands& part : plan.commands()) {
    if (!absl::c_linear_search(nodes, part.node())) nodes.push_back(part.node());
  }
  std::string text;
  for (const std::string& blocked : plan.blocked()) {
    absl::StrAppend(&text, "# blocked: ", Printable(blocked), "\n");
  }
  for (const std::string& node : nodes) {
    absl::StrAppend(&text, text.empty() ? "" : "\n",
                    Styled(absl::StrCat("# ===== on ", node, " ====="), Style::kBold, view.colour),
                    "\n");
    for (const v1::Plan::Commands& part : plan.commands()) {
      if (part.node() != node) continue;
      const std::string title =
          absl::StrCat("# ", part.task(), part.skipped() ? ": skipped" : "",
                       part.reason().empty() ? "" : ": ", Printable(part.reason()));
      absl::StrAppend(&text, Styled(title, Style::kDim, view.colour), "\n");
      if (part.skipped()) continue;
      for (const std::string& line : part.lines()) absl::StrAppend(&text, Printable(line), "\n");
    }
  }
  return text;
}

namespace {

void AppendExplanation(const v1::Explanation& explanation, int depth, const View& view,
                       std::string* text) {
  const std::string indent(2 * depth, ' ');
  absl::StrAppend(text, indent, Styled(Printable(explanation.subject()), Style::kBold, view.colour),
                  ": ", explanation.state(), "\n");
  for (const std::string& sentence : explanation.sentences()) {
    absl::StrAppend(text, indent, "  - ", Printable(sentence), "\n");
  }
  if (explanation.has_failure()) {
    const v1::Failure& failure = explanation.failure();
    const std::string title =
        absl::StrCat(LowerName(&v1::Failure::Class_Name, failure.class_()),
                     failure.redo_stage().empty() ? "" : absl::StrCat(" of ", failure.redo_stage()),
                     failure.signature().empty() ? "" : absl::StrCat(", ", failure.signature()));
    absl::StrAppend(text, indent, "  ", Styled(title, Style::kRed, view.colour), "\n", indent,
                    "    symptom: ", Printable(failure.symptom()), "\n");
    if (!failure.advice().empty())
      absl::StrAppend(text, indent, "    advice:  ", Printable(failure.advice()), "\n");
    for (const std::string& line : failure.log_tail())
      absl::StrAppend(text, indent, "    | ", Styled(Printable(line), Style::kDim, view.colour),
                      "\n");
  }
  for (const v1::Explanation& because : explanation.because()) {
    AppendExplanation(because, depth + 1, view, text);
  }
}

}  // namespace

std::string RenderExplanation(const v1::Explanation& explanation, const View& view) {
  std::string text;
  AppendExplanation(explanation, 0, view, &text);
  return text;
}

std::string RenderRevisions(const v1::ListRevisionsReply& revisions, const View& view) {
  Table table({"REVISION", "TIME", "AUTHOR", "SERVED", "IMAGE"});
  for (const v1::Revision& revision : revisions.revisions()) {
    table.Add({{absl::StrCat(revision.revision())},
               {Clock(revision.time(), view)},
               {Printable(revision.author())},
               {revision.served() ? "yes" : "no", revision.served() ? Style::kGreen : Style::kDim},
               {revision.deployment().spec().image().name()}});
  }
  return table.Render(view.colour);
}

std::string RenderEvent(const v1::Event& event, const View& view) {
  std::string subject = !event.task().empty() ? event.task() : event.node();
  if (subject.empty()) subject = event.rollout();
  return absl::StrFormat("%s  %-20s  %-18s  %s\n",
                         Styled(Clock(event.time(), view), Style::kDim, view.colour), subject,
                         event.kind(), Printable(event.message()));
}

std::vector<std::string> ChangeLines::Next(const v1::Rollout& rollout, const View& view) {
  std::vector<std::string> lines;
  std::string time = absl::FormatTime("%H:%M:%S  ", view.now, view.zone);
  for (const v1::Task& task : rollout.tasks()) {
    if (task.state() == v1::Task::CHECKING) continue;  // comes and goes
    std::string said = StateName(task.state());
    // Each tenth of a long job is worth a line; each byte is not.
    if (IsRunning(task) && task.progress().total() > 0) {
      uint64_t tenth = 10 * task.progress().done() / task.progress().total();
      if (tenth > 0) absl::StrAppend(&said, " ", tenth * 10, " %");
    }
    if (task.state() == v1::Task::FAILED || task.state() == v1::Task::UNKNOWN ||
        task.state() == v1::Task::DRIFTED) {
      absl::StrAppend(&said, ": ",
                      Printable(task.has_failure() ? task.failure().symptom() : task.reason()));
    }
    auto [known, is_new] = tasks_.emplace(task.id(), "");
    if (known->second == said) continue;
    bool worth_a_line = !(is_new && task.state() == v1::Task::PENDING);
    known->second = said;
    if (!worth_a_line) continue;
    std::string duration = task.state() == v1::Task::CURRENT ? TaskDuration(task, view) : "";
    lines.push_back(absl::StrCat(time, absl::StrFormat("%-22s  ", task.id()),
                                 Styled(said, StateStyle(task.state()), view.colour),
                                 duration.empty() ? "" : absl::StrCat(" (", duration, ")")));
  }
  std::string headline =
      absl::StrCat("revision ", rollout.revision(), " ", PhaseName(rollout.phase()),
                   rollout.reason().empty() ? "" : ": ", Printable(rollout.reason()));
  if (headline != headline_) {
    headline_ = headline;
    lines.push_back(absl::StrCat(time, absl::StrFormat("%-22s  ", rollout.name()), headline));
  }
  return lines;
}

}  // namespace npufleet::ctl
