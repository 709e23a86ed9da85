// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/ctl/text.h"

namespace npufleet::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int64_t kNow = 1748779200;  // 2025-06-01 12:00:00 UTC

View At(int64_t seconds) { return {absl::FromUnixSeconds(seconds), absl::UTCTimeZone(), false}; }

v1::Task& AddTask(v1::Rollout& rollout, const std::string& stage, const std::string& node,
                  v1::Task::State state) {
  v1::Task& task = *rollout.add_tasks();
  task.set_id(stage + "@" + node);
  task.set_stage(stage);
  task.set_node(node);
  task.set_state(state);
  return task;
}

// A rollout in the middle: one driver done, one running, one image failed.
v1::Rollout Halfway() {
  v1::Rollout rollout;
  rollout.set_name("qwen3-235b");
  rollout.set_revision(7);
  rollout.set_phase(v1::Rollout::PROGRESSING);
  rollout.mutable_start_time()->set_seconds(kNow - 252);
  v1::Task& done = AddTask(rollout, "driver", "node-a", v1::Task::CURRENT);
  done.mutable_start_time()->set_seconds(kNow - 200);
  done.mutable_end_time()->set_seconds(kNow - 137);
  v1::Task& running = AddTask(rollout, "driver", "node-b", v1::Task::RUNNING);
  running.mutable_start_time()->set_seconds(kNow - 42);
  running.mutable_progress()->set_activity("downloading driver.run");
  running.mutable_progress()->set_done(50 << 20);
  running.mutable_progress()->set_total(200 << 20);
  running.mutable_progress()->set_unit("bytes");
  v1::Task& failed = AddTask(rollout, "image", "node-a", v1::Task::FAILED);
  failed.set_attempts(3);
  failed.mutable_failure()->set_class_(v1::Failure::NEEDS_OPERATOR);
  failed.mutable_failure()->set_signature("IMG-02");
  failed.mutable_failure()->set_symptom("no space left on device");
  failed.mutable_failure()->set_advice("Free 20 GiB on /var/lib/docker, then retry.");
  failed.mutable_failure()->add_log_tail("loading layer\x1b[2J 3");
  AddTask(rollout, "serve", "node-a", v1::Task::PENDING).set_reason("waits for image@node-a");
  return rollout;
}

TEST(RenderRolloutTest, ShowsStagesByNodeReasonsAndFailures) {
  EXPECT_EQ(RenderRollout(Halfway(), At(kNow)),
            R"(qwen3-235b  revision 7  progressing for 4m12s

STAGE   node-a         node-b
driver  current 1m03s  running 42s
image   failed         -
serve   pending        -

TASK           STATE    WHY
driver@node-b  running  downloading driver.run 25 % (50.0 MiB of 200 MiB)
image@node-a   failed   no space left on device
serve@node-a   pending  waits for image@node-a

image@node-a: needs operator, IMG-02, 3 attempts
  symptom: no space left on device
  advice:  Free 20 GiB on /var/lib/docker, then retry.
  log:
    loading layer [2J 3
)");
}

TEST(RenderRolloutTest, ShowsTheEndpointTheCriticalPathAndNotes) {
  v1::Rollout rollout;
  rollout.set_name("q");
  rollout.set_revision(1);
  rollout.set_phase(v1::Rollout::SERVING);
  rollout.mutable_serving_time()->set_seconds(kNow - 3 * 3600);
  rollout.set_endpoint("http://192.168.0.15:8006");
  rollout.set_served_model_name("Qwen3-235B-A22B");
  rollout.add_notes("--num-gpus is not used");
  v1::Task& serve = AddTask(rollout, "serve", "node-a", v1::Task::CURRENT);
  serve.mutable_start_time()->set_seconds(kNow - 11000);
  serve.mutable_end_time()->set_seconds(kNow - 10900);
  rollout.mutable_critical_path()->add_tasks("serve@node-a");
  rollout.mutable_critical_path()->mutable_wall()->set_seconds(102);
  rollout.mutable_critical_path()->mutable_work()->set_seconds(100);
  rollout.mutable_critical_path()->set_overhead_percent(1.96);
  EXPECT_EQ(RenderRollout(rollout, At(kNow)),
            R"(q  revision 1  serving for 3h00m

STAGE  node-a
serve  current 1m40s

Endpoint  http://192.168.0.15:8006/v1  model Qwen3-235B-A22B
  curl http://192.168.0.15:8006/v1/chat/completions -H 'Content-Type: application/json' -d '{"model": "Qwen3-235B-A22B", "messages": [{"role": "user", "content": "你是谁"}], "max_tokens": 512}'

Critical path  1m42s, of it own work 1m40s, overhead 2.0 %
  serve@node-a 1m40s

note: --num-gpus is not used
)");
}

TEST(RenderProgressTest, LeavesOutLogTails) {
  EXPECT_THAT(RenderProgress(Halfway(), At(kNow)), Not(HasSubstr("loading layer")));
  EXPECT_THAT(RenderProgress(Halfway(), At(kNow)), HasSubstr("advice:  Free 20 GiB"));
}

TEST(RenderTest, ColourIsOnlyThereWhenAskedFor) {
  View view = At(kNow);
  EXPECT_THAT(RenderRollout(Halfway(), view), Not(HasSubstr("\x1b")));
  view.colour = true;
  EXPECT_THAT(RenderRollout(Halfway(), view), HasSubstr("\x1b[32mcurrent 1m03s\x1b[0m"));
}

TEST(RenderPlanTest, NumbersTheStepsAndSaysWhatTheyDisturb) {
  v1::Plan plan;
  v1::Plan::Step& first = *plan.add_steps();
  first.set_task("driver@node-a");
  first.set_action(v1::Operation::APPLY);
  first.set_reboot(true);
  first.set_reason("absent: no driver");
  v1::Plan::Step& second = *plan.add_steps();
  second.set_task("serve@node-a");
  second.set_action(v1::Operation::STOP);
  second.set_disturbs(true);
  second.set_reason("driver@node-a disturbs it");
  plan.add_current("preflight@node-a");
  plan.add_blocked("node-b: not reachable");
  plan.set_interrupts_service(true);
  EXPECT_EQ(RenderPlan(plan, At(kNow)),
            R"(blocked: node-b: not reachable
   TASK           ACTION          WHY
1  driver@node-a  apply, reboot   absent: no driver
2  serve@node-a   stop, disturbs  driver@node-a disturbs it
2 steps, 1 task is as wanted
This ends serving while it lasts.
)");
}

TEST(RenderPlanTest, SaysHowLongItWillNotServeAndWhatItDoesNotKnow) {
  v1::Plan plan;
  plan.add_steps()->set_task("serve@node-a");
  plan.set_interrupts_service(true);
  plan.mutable_outage()->set_seconds(40);
  plan.mutable_outage()->set_nanos(1);
  EXPECT_THAT(RenderPlan(plan, At(kNow)),
              HasSubstr("This ends serving for about 41s, as long as it took the last time.\n"));
  plan.add_never_run("reboot@node-a");
  EXPECT_THAT(RenderPlan(plan, At(kNow)),
              HasSubstr("; beside that the time is not known of reboot@node-a.\n"));
}

TEST(RenderControlTest, SaysExactlyWhatEndsAndWhatGoesOn) {
  v1::Rollout rollout = Halfway();
  AddTask(rollout, "model", "node-a", v1::Task::RUNNING).set_cancelling(true);
  EXPECT_THAT(RenderControl(v1::ControlRolloutRequest::CANCEL, rollout, At(kNow)),
              testing::StartsWith("qwen3-235b: cancelled; told to end: model@node-a; to its end "
                                  "goes: driver@node-b; nothing is started until"));
  EXPECT_THAT(RenderControl(v1::ControlRolloutRequest::PAUSE, Halfway(), At(kNow)),
              testing::AllOf(testing::StartsWith("qwen3-235b: paused; nothing new is started"),
                             testing::HasSubstr("under way, to its end: driver@node-b\n"),
                             testing::HasSubstr("serve@node-a   pending  waits for image@node-a")));
}

TEST(RenderPlanTest, OfNothingToDo) {
  v1::Plan plan;
  plan.add_current("a");
  plan.add_current("b");
  EXPECT_EQ(RenderPlan(plan, At(kNow)), "nothing to do\n0 steps, 2 tasks are as wanted\n");
}

TEST(RenderChipsTest, WhatCouldNotBeReadIsAQuestionMark) {
  v1::ListNodesReply nodes;
  v1::NodeStatus& node = *nodes.add_nodes();
  node.set_name("node-a");
  node.set_connected(true);
  v1::Chip& well = *node.mutable_inventory()->add_chips();
  well.set_npu(0);
  well.set_name("910B3");
  well.set_health(v1::Chip::OK);
  well.set_temperature_celsius(45);
  well.set_power_watts(93.25);
  well.set_aicore_percent(0);
  well.set_hbm_used_mib(3400);
  well.set_hbm_total_mib(65536);
  well.add_processes()->set_pid(4242);
  v1::Chip& ill = *node.mutable_inventory()->add_chips();
  ill.set_npu(1);
  ill.set_health(v1::Chip::ALARM);
  ill.add_error_codes("80E18005");
  nodes.add_nodes()->set_name("node-b");
  EXPECT_EQ(
      RenderChips(nodes, At(kNow)),
      R"(NODE    NPU  CHIP  NAME   HEALTH  CODES     TEMP C  POWER W  AICORE %  HBM MIB       PROCESSES
node-a  0    0     910B3  ok      -         45      93.2     0         3400 / 65536  4242
node-a  1    0     ?      alarm   80E18005  ?       ?        ?         ? / ?         -
node-b: no NPU reading yet
)");
}

TEST(RenderNodesTest, OfflineNodesSayWhy) {
  v1::ListNodesReply nodes;
  v1::NodeStatus& node = *nodes.add_nodes();
  node.set_name("node-b");
  node.set_address("192.168.0.21:7602");
  node.set_reason("no answer");
  node.mutable_last_seen()->set_seconds(kNow - 90);
  EXPECT_EQ(
      RenderNodes(nodes, At(kNow)),
      R"(NAME    ADDRESS            STATE               ROLLOUT  NPUS  DRIVER  AGENT  SKEW  SEEN
node-b  192.168.0.21:7602  offline: no answer  -        ?     ?       ?      ?     1m30s ago
)");
}

TEST(RenderEventTest, OneLine) {
  v1::Event event;
  event.mutable_time()->set_seconds(kNow);
  event.set_task("driver@node-a");
  event.set_kind("OperationStarted");
  event.set_message("driver@node-a: apply\nx");
  EXPECT_EQ(
      RenderEvent(event, At(kNow)),
      "2025-06-01 12:00:00  driver@node-a         OperationStarted    driver@node-a: apply x\n");
}

TEST(ChangeLinesTest, SaysEachChangeOnce) {
  ChangeLines lines;
  v1::Rollout rollout = Halfway();
  EXPECT_THAT(
      lines.Next(rollout, At(kNow)),
      ElementsAre(HasSubstr("current (1m03s)"), HasSubstr("driver@node-b           running 20 %"),
                  HasSubstr("failed: no space left on device"),
                  HasSubstr("revision 7 progressing")));
  EXPECT_THAT(lines.Next(rollout, At(kNow)), IsEmpty());
  rollout.mutable_tasks(1)->mutable_progress()->set_done(51 << 20);
  EXPECT_THAT(lines.Next(rollout, At(kNow)), IsEmpty());
  rollout.mutable_tasks(1)->set_state(v1::Task::CURRENT);
  rollout.mutable_tasks(0)->set_state(v1::Task::CHECKING);
  EXPECT_THAT(lines.Next(rollout, At(kNow)),
              ElementsAre("12:00:00  driver@node-b           current"));
}

TEST(IsSettledTest, ServingWithWorkLeftIsNotSettled) {
  v1::Rollout rollout;
  rollout.set_phase(v1::Rollout::SERVING);
  AddTask(rollout, "image", "node-a", v1::Task::RUNNING);
  EXPECT_FALSE(IsSettled(rollout));
  rollout.mutable_tasks(0)->set_state(v1::Task::DRIFTED);
  EXPECT_TRUE(IsSettled(rollout));
  rollout.set_phase(v1::Rollout::PROGRESSING);
  EXPECT_FALSE(IsSettled(rollout));
}

TEST(TextTest, WidthsCountColumnsAndNotBytes) {
  EXPECT_EQ(DisplayWidth("你是谁"), 6);
  EXPECT_EQ(DisplayWidth("\x1b[31mred\x1b[0m"), 3);
  EXPECT_EQ(CutToWidth("你是谁", 5), "你是");
  EXPECT_EQ(CutToWidth("\x1b[31mred\x1b[0m", 2), "\x1b[31mre\x1b[0m");
  EXPECT_EQ(CutToWidth(std::string("\xe4\xbd"), 5).size(), 2);  // a broken character ends the text
}

TEST(TextTest, DurationsAndSizes) {
  EXPECT_EQ(ShortDuration(absl::Milliseconds(850)), "850ms");
  EXPECT_EQ(ShortDuration(absl::Seconds(59)), "59s");
  EXPECT_EQ(ShortDuration(absl::Minutes(125)), "2h05m");
  EXPECT_EQ(ShortDuration(absl::Hours(76)), "3d4h");
  EXPECT_EQ(ShortDuration(-absl::Seconds(3)), "0s");
  EXPECT_EQ(Bytes(17), "17 B");
  EXPECT_EQ(Bytes(1536), "1.5 KiB");
  EXPECT_EQ(Bytes(470ull << 30), "470 GiB");
}

TEST(TextTest, PrintableTextSteersNoTerminal) {
  EXPECT_EQ(Printable("a\x1b[2J\r\n\x7f"), "a [2J   ");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            " 31m");
  EXPECT_EQ(Printable("你是谁"), "你是谁");
}

}  // namespace
}  // namespace npufleet::ctl
