import Glibc

/// Ends the program: libFuzzer keeps the input.
func report(_ text: String) {
  fatalError(text)
}

/// Named by the program: its links have the names of the targets.
private let target: FuzzTarget = {
  let name = CommandLine.arguments[0].split(separator: "/").last.map(String.init) ?? ""
  guard let target = FuzzTarget(rawValue: name) else {
    fatalError("no target \(name): \(FuzzTarget.allCases.map(\.rawValue))")
  }
  return target
}()

/// What libFuzzer calls for each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  target.run(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
  return 0
}
