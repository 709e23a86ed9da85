"""The words that the lab's model knows: its tokenizer is trained on them, and it answers with them at random."""

# Said before </think>: what the reasoning parser takes off.
THINKING = [
    "嗯", "用户", "问题", "首先", "需要", "考虑", "可能", "应该", "也许", "然后", "其次", "让我", "想想", "检查", "确认", "如果",
    "因为", "所以", "但是", "或者", "理解", "分析", "步骤", "思路", "判断", "回答", "之前", "推理", "逻辑", "结论",
]

# Said after it: the answer.
ANSWER = [
    "我是", "随机", "权重", "模型", "芯片", "节点", "驱动", "固件", "容器", "镜像", "集群", "服务", "启动", "完成", "重启", "网络",
    "部署", "北京", "天空", "海洋", "苹果", "月亮", "星星", "音乐", "快乐", "学习", "机器", "智能", "语言", "世界", "今天", "明天",
    "你好", "谢谢", "，", "。", "和", "的", "在", "是",
]

# What people ask it, so that a question is a few tokens and not a token for each byte.
QUESTIONS = ["你是谁", "你好", "请问", "什么", "怎么", "为什么", "who are you", "hello", "Say one word", "system", "user",
             "assistant", "The quick brown fox", "You are a helpful assistant"]
