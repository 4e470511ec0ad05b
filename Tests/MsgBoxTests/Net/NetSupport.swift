import CMsgBox
import MsgBox

/// How long a test waits for what must happen.
let testLimitMilliseconds: Int32 = 10_000

let loopback = Locator.Host.ip(IPAddress(v4: 0x7f00_0001))
let loopbackIPv6 = Locator.Host.ip(IPAddress(high: 0, low: 1))

struct NothingHappened: Error {}

/// Waits until `descriptor` is ready for `interest`.
func waitFor(_ interest: Readiness, _ descriptor: Int32) throws {
  let poller = try Poller()
  try poller.add(descriptor, token: 1, for: interest)
  guard try poller.wait(milliseconds: testLimitMilliseconds) == 1 else { throw NothingHappened() }
}

extension DatagramBatch {
  func receivedBytes(_ index: Int) -> [UInt8] {
    var copy: [UInt8] = []
    withReceivedBytes(index) { span in
      for offset in span.indices { copy.append(span[offset]) }
    }
    return copy
  }

  /// The datagrams of train `index`.
  func receivedDatagrams(_ index: Int) -> [[UInt8]] {
    let (bytes, segment) = (receivedBytes(index), received(index).segment)
    guard !bytes.isEmpty else { return [[]] }
    return stride(from: 0, to: bytes.count, by: segment).map {
      [UInt8](bytes[$0..<min($0 + segment, bytes.count)])
    }
  }

  /// Sends as a socket does that has not learned whether it can send trains.
  func send(
    _ range: Range<Int>, on descriptor: Int32, isIPv6: Bool, isConnected: Bool
  ) throws(Errno) -> Int {
    var trains = Trains()
    return try send(
      range, on: descriptor, isIPv6: isIPv6, isConnected: isConnected, trains: &trains)
  }
}

/// Whether this build can make calls fail on purpose; takes all faults back at the end.
func withFaults(_ body: () throws -> Void) throws {
  guard cmsgbox_fault_set(Int32(CMSGBOX_CALL_SOCKET), 0, 0, 0, 0) == 1 else { return }
  defer { _ = cmsgbox_fault_clear() }
  try body()
}

/// Lets the calls after the next `after` ones fail with `error`, `times` times.
func fail(_ call: some BinaryInteger, with error: Errno, after: UInt32 = 0, times: UInt32 = 1) {
  _ = cmsgbox_fault_set(Int32(call), after, times, error.rawValue, 0)
}

/// Cuts the next `times` calls short to `limit`.
func cutShort(_ call: some BinaryInteger, to limit: UInt32, times: UInt32 = 1) {
  _ = cmsgbox_fault_set(Int32(call), 0, times, 0, limit)
}
