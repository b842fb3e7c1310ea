"""What stands where in the documents: the table of docs/documents.md and docs/index.zh.md."""

from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """Where a system stands, and what the Chinese page calls it.

    Attributes:
        heading: The document's own heading.
        what: The system, in Chinese.
        figures: Names of the figures that the indexes show, with their Chinese names.
    """

    heading: str
    what: str
    figures: Mapping[str, str]


# Letter of the rows: the documents' headings, in Chinese and in English, and their files.
CHAPTERS = {
    "A": (
        "一、初识 TensorFlow 与二、深入 TensorFlow",
        "Chapters 1 and 2: first steps, and going deeper",
        "004_721a68e0af5d72a1.txt",
    ),
    "B": (
        "三、使用八股搭建神经网络与四、神经网络八股拓展",
        "Chapters 3 and 4: the recipe, and its extensions",
        "004_721a68e0af5d72a1.txt",
    ),
    "C": ("五、卷积神经网络（CNN）", "Chapter 5: convolutional networks", "004_721a68e0af5d72a1.txt"),
    "D": ("六、循环神经网络（RNN）", "Chapter 6: recurrent networks", "004_721a68e0af5d72a1.txt"),
    "E": (
        "实现第一个 CNN、卷积原理、卷积层",
        "First CNNs",
        "000_7a1e6c14492b4185.txt, 001_5f9f609f06414ab1.txt, 002_d303c5f64d4564a1.txt",
    ),
    "F": (
        "滤波器、预训练模型、迁移学习、定位",
        "Filters, pretrained networks, transfer learning, localization",
        "003_c3aa8a2274bd67a4.txt",
    ),
}
PLACES = {
    "A1": Place(
        "1.2 神经网络设计过程：反向传播",
        "梯度下降求 (w+1)² 的最小值，学习率 0.2",
        {"first step that prints w = -1.000000": "w 首次打印为 -1 的步数"},
    ),
    "A2": Place("二、学习率", "同上，指数衰减学习率", {"last rate": "最后的学习率"}),
    "A3": Place(
        "1.3 张量生成；1.4 TF2 常用函数", "张量、常用函数与求导", {"gradient of w^2 at 3": "w² 在 3 处的导数"}
    ),
    "A4": Place("1.2 神经网络设计过程：前向传播", "手算 4-3 网络的前向传播", {"y": "输出 y"}),
    "A5": Place(
        "二、神经网络复杂度；五、感受野",
        "参数量、乘加次数、感受野、输出尺寸",
        {"parameters of 3-4-2": "3-4-2 网络的参数量"},
    ),
    "A6": Place(
        "二、激活函数",
        "Sigmoid、Tanh、ReLU、Leaky ReLU 及其导数",
        {"largest sigmoid'": "Sigmoid 导数的最大值"},
    ),
    "A7": Place("二、损失函数：均方误差", "酸奶日销量预测，均方误差", {"squared error": "最终参数"}),
    "A8": Place(
        "二、损失函数：自定义损失函数",
        "酸奶日销量预测，成本与利润不对称",
        {"cost 1, profit 99": "成本 1、利润 99 时的参数"},
    ),
    "A9": Place(
        "二、损失函数：交叉熵",
        "交叉熵，与 softmax 结合",
        {"(1, 0) against (0.6, 0.4)": "(1,0) 与 (0.6,0.4) 的交叉熵"},
    ),
    "A10": Place(
        "二、正则化缓解过拟合",
        "dot.csv 上的 L2 正则化",
        {"loss without": "无正则化的损失", "loss with L2": "有 L2 的损失"},
    ),
    "A11": Place(
        "1.6 神经网络实现鸢尾花分类", "鸢尾花 4-3 网络，SGD", {"test accuracy of sgd": "测试准确率"}
    ),
    "A12": Place(
        "二、神经网络参数优化器",
        "五种优化器：SGD、SGDM、Adagrad、RMSProp、Adam",
        {"seconds of adam": "Adam 用时（秒）"},
    ),
    "B1": Place("三、鸢尾花示例", "六步法：鸢尾花分类", {"val_accuracy": "验证准确率"}),
    "B2": Place(
        "三、MNIST 数据集；四、断点续训、参数提取、acc/loss 可视化",
        "手写数字识别，全连接 784-128-10",
        {"parameters": "参数量", "val_accuracy": "验证准确率"},
    ),
    "B4": Place("四、自制数据集", "图片与标签文件制成数据集，缓存为 .npy", {"val_accuracy": "验证准确率"}),
    "B5": Place(
        "四、数据增强",
        "旋转、平移、翻转、缩放",
        {"val_accuracy with on changed images": "变形图片上的验证准确率"},
    ),
    "B9": Place("四、应用程序", "识别手写数字照片", {"photographs read right": "照片识别正确率"}),
    "C1": Place(
        "五、卷积神经网络搭建示例",
        "Baseline，CIFAR-10",
        {"parameters": "参数量", "val_accuracy": "验证准确率", "val_loss": "验证损失"},
    ),
    "C2": Place(
        "五、经典卷积网络：LeNet",
        "LeNet-5（Sigmoid），CIFAR-10",
        {"parameters": "参数量", "val_accuracy": "验证准确率", "val_loss": "验证损失"},
    ),
    "C3": Place(
        "五、经典卷积网络：AlexNet",
        "AlexNet-8，CIFAR-10",
        {"parameters": "参数量", "val_accuracy": "验证准确率", "val_loss": "验证损失"},
    ),
    "C4": Place(
        "五、经典卷积网络：VGGNet",
        "VGG-16，CIFAR-10",
        {"parameters": "参数量", "val_accuracy": "验证准确率", "val_loss": "验证损失"},
    ),
    "C5": Place(
        "五、经典卷积网络：InceptionNet",
        "Inception-10，CIFAR-10",
        {"parameters": "参数量", "val_accuracy": "验证准确率", "val_loss": "验证损失"},
    ),
    "C5 BN": Place(
        "五、经典卷积网络：InceptionNet",
        "Inception-10，使用批统计量的 BN",
        {"parameters": "参数量", "val_accuracy": "验证准确率"},
    ),
    "C6": Place(
        "五、经典卷积网络：ResNet",
        "ResNet-18，CIFAR-10",
        {"parameters": "参数量", "val_accuracy": "验证准确率", "val_loss": "验证损失"},
    ),
    "C7 C1": Place("（文档中没有，本项目补充）", "Baseline，Fashion-MNIST", {"val_accuracy": "验证准确率"}),
    "C7 C2": Place("（文档中没有，本项目补充）", "LeNet-5，Fashion-MNIST", {"val_accuracy": "验证准确率"}),
    "C7 C3": Place("（文档中没有，本项目补充）", "AlexNet-8，Fashion-MNIST", {"val_accuracy": "验证准确率"}),
    "C7 C4": Place("（文档中没有，本项目补充）", "VGG-16，Fashion-MNIST", {"val_accuracy": "验证准确率"}),
    "C7 C5": Place(
        "（文档中没有，本项目补充）", "Inception-10，Fashion-MNIST", {"val_accuracy": "验证准确率"}
    ),
    "C7 C6": Place("（文档中没有，本项目补充）", "ResNet-18，Fashion-MNIST", {"val_accuracy": "验证准确率"}),
    "D1": Place(
        "六、循环网络计算过程",
        "手算循环核的一步，以及连续四步",
        {"state": "状态", "state after e": "第四步后的状态"},
    ),
    "D2": Place("六、循环网络计算过程", "字母预测，独热码，1 输入 1 输出", {"accuracy": "准确率"}),
    "D3": Place(
        "六、循环网络计算过程Ⅱ",
        "字母预测，独热码，4 输入 1 输出",
        {"parameters": "参数量", "accuracy": "准确率"},
    ),
    "D4": Place(
        "六、Embedding 编码：预测单个字母",
        "字母预测，Embedding，1 输入 1 输出",
        {"parameters": "参数量", "accuracy": "准确率"},
    ),
    "D5": Place(
        "六、Embedding 编码：多个字母预测单个字母",
        "26 个字母，Embedding，4 输入 1 输出",
        {"parameters": "参数量", "accuracy": "准确率"},
    ),
    "D6 RNN": Place(
        "六、RNN 实现股票预测",
        "股票预测，SimpleRNN",
        {"rmse of the last epoch": "最后一轮的均方根误差（元）", "rmse": "最佳一轮的均方根误差（元）"},
    ),
    "D6 LSTM": Place(
        "六、LSTM 实现股票预测",
        "股票预测，LSTM",
        {
            "parameters": "参数量",
            "rmse of the last epoch": "最后一轮的均方根误差（元）",
            "rmse": "最佳一轮的均方根误差（元）",
        },
    ),
    "D6 GRU": Place(
        "六、GRU 实现股票预测",
        "股票预测，GRU",
        {"rmse of the last epoch": "最后一轮的均方根误差（元）", "rmse": "最佳一轮的均方根误差（元）"},
    ),
    "E1": Place(
        "实现第一个 CNN：实例化卷积层", "自定义可训练卷积层", {"difference of values": "与库中卷积层的差"}
    ),
    "E2": Place(
        "实现第一个 CNN：实现 LeNet-5、CNN 经典 MNIST",
        "LeNet-5，MNIST，早停",
        {"parameters": "参数量", "val_accuracy after epoch 8": "第 8 轮验证准确率"},
    ),
    "E3": Place("卷积原理", "7×7 图像与 3×3 卷积核", {"row 0": "输出第 0 行"}),
    "E4": Place(
        "卷积原理：CNN 的一个完整示例",
        "CNN 32-64-1024-10，MNIST，有放回抽样",
        {"parameters": "参数量", "val_accuracy": "测试准确率"},
    ),
    "E5": Place("CNN 的经典用例：卷积层、池化层、softmax", "NumPy 写成的 CNN 前向传播", {"loss": "损失"}),
    "E6": Place(
        "CNN 的经典用例：TensorFlow 基础", "同 E4，加 dropout，2,000 步", {"val_accuracy": "测试准确率"}
    ),
    "E6 epochs": Place("CNN 的经典用例：Keras", "同 E4，加 dropout，10 轮", {"val_accuracy": "测试准确率"}),
    "E7": Place(
        "CNN 的经典用例：卷积层；课程五、卷积计算过程",
        "Sobel 算子与手算卷积",
        {"sobel, top left": "左上角输出", "two channels": "两个通道的互相关"},
    ),
    "F1": Place("1、滤波器与特征图", "两张照片上的横线与竖线滤波器", {}),
    "F2": Place(
        "2、池化层", "最大、平均与全局平均池化", {"global average, china, red": "china.jpg 红色通道全局平均"}
    ),
    "F3": Place(
        "3、使用 CNN 对 Fashion-MNIST 分类",
        "Fashion-MNIST CNN，Nadam（TensorFlow 2.5 的动量）",
        {"test_accuracy": "测试准确率"},
    ),
    "F3 Keras 3": Place(
        "3、使用 CNN 对 Fashion-MNIST 分类", "同上，Nadam 用 Keras 3 的动量", {"test_accuracy": "测试准确率"}
    ),
    "F4": Place(
        "4、使用 Keras 的预训练模型",
        "ImageNet 预训练 ResNet-50",
        {"china: bell_cote": "china.jpg 为 bell_cote 的概率"},
    ),
    "F5": Place("5、迁移学习", "Xception，tf_flowers", {"best val_accuracy": "最佳验证准确率"}),
    "F5 here": Place(
        "5、迁移学习", "五个新类别各十张图，使用与不使用骨干网络", {"accuracy then thawed": "解冻后的准确率"}
    ),
    "F6": Place("6、分类与定位", "数字及其边框", {"val_accuracy": "验证准确率"}),
    "F6 Xception": Place(
        "6、分类与定位",
        "Xception，五个批次，随机边框",
        {"class_loss": "分类损失", "box_loss": "边框损失", "accuracy": "准确率"},
    ),
    "F7": Place(
        "6、分类与定位：Mean Average Precision", "平均精度均值（mAP）", {"mean average precision": "mAP"}
    ),
    "F8": Place("6、分类与定位：Conv2DTranspose", "转置卷积，步长 2", {"output": "输出形状"}),
    "F9": Place("7、用 Keras 实现 ResNet-34 CNN", "ResNet-34", {"trainable": "可训练参数量"}),
}
