// swift-tools-version: 6.2
import PackageDescription

/// One set of rules for every Swift target: language mode 6, strict memory safety, no warnings.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableExperimentalFeature("Lifetimes"),
  .enableExperimentalFeature("RawLayout"),
]

/// One program of `examples/`.
func example(_ name: String) -> Target {
  .executableTarget(
    name: name, dependencies: ["MsgBox"], path: "examples/\(name)", swiftSettings: settings)
}

let package = Package(
  name: "MsgBox",
  products: [
    .library(name: "MsgBox", targets: ["MsgBox"]),
    .library(name: "msgbox", type: .dynamic, targets: ["MsgBox"]),
  ],
  targets: [
    .target(name: "CMsgBox", exclude: ["embedded"]),
    .target(name: "MsgBox", dependencies: ["CMsgBox"], swiftSettings: settings),
    example("swift-echo-server"),
    example("swift-echo-client"),
    example("swift-request-server"),
    example("swift-request-client"),
    example("swift-reliable-server"),
    example("swift-reliable-client"),
    example("swift-broadcast-server"),
    example("swift-broadcast-client"),
    example("swift-backpressure-consumer"),
    example("swift-backpressure-producer"),
    example("swift-async"),
    example("swift-upload"),
    .target(name: "CBench", path: "bench/swift/CBench"),
    .executableTarget(
      name: "msgbox-swift", dependencies: ["MsgBox", "CBench"], path: "bench/swift/Bench",
      swiftSettings: settings),
    .testTarget(
      name: "MsgBoxTests", dependencies: ["MsgBox", "CMsgBox"], swiftSettings: settings),
  ]
)
