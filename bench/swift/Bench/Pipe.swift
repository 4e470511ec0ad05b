import CBench
import MsgBox

/// Many requests outstanding; each reply is checked against its request.
final class Pipe {
  private let workload: Workload
  private let box: MessageBox
  private let connection: Connection
  /// The bytes of the next request; the first eight are its number.
  private var payload: [UInt8]
  private var isAnswered: [Bool]
  private var sent: UInt64 = 0
  private var answered: UInt64 = 0
  private var bad: UInt64 = 0
  private var missing: UInt64 = 0
  private var isBlocked = false
  private var failure: (any Error)?

  /// Connects.
  init(_ workload: Workload) throws {
    self.workload = workload
    box = try MessageBox()
    var limits = BoxOptions()
    limits.sendMarkMessages = 1 << 21
    try box.setOptions(limits)
    connection = try box.connect(to: workload.address, options: workload.options)
    payload = [UInt8](repeating: 7, count: max(workload.size, 8))
    isAnswered = [Bool](repeating: false, count: Int(workload.count))
  }

  /// Asks all, waits for all replies and prints what it found.
  func measure() throws {
    try waitForSetup(box)
    let start = now_ns()
    let cpu = cpu_ns()
    fill()
    while answered + missing < workload.count, failure == nil {
      try box.run(timeout: .seconds(1)) { event in take(event) }
    }
    if let failure { throw failure }
    report_pipe(answered, start, cpu, bad, missing)
  }

  private func take(_ event: borrowing Event) {
    switch event {
    case .reply(_, let bytes, let context):
      if !isGood(bytes, context) { bad += 1 }
      answered += 1
    case .replyMissing: missing += 1
    case .writable: isBlocked = false
    case .connectionClosed(_, let reason, _), .connectionLost(_, let reason, _, _):
      failure = Broken(reason: reason)
    default: break
    }
    fill()
  }

  private func fill() {
    while !isBlocked, failure == nil, sent < workload.count,
      sent - answered - missing < workload.outstanding
    {
      setNumber()
      do throws(MessageError) {
        try box.get(payload, from: connection, context: UInt(sent))
        sent += 1
      } catch {
        if error.code == .wouldBlock { isBlocked = true } else { failure = error }
      }
    }
  }

  private func setNumber() {
    for place in 0..<8 { payload[place] = UInt8(truncatingIfNeeded: sent >> (8 * UInt64(place))) }
  }

  /// A reply is good if it has the bytes of its own request and is the first.
  private func isGood(_ bytes: RawSpan, _ context: UInt) -> Bool {
    guard bytes.byteCount == payload.count, context < UInt(sent), !isAnswered[Int(context)] else {
      return false
    }
    isAnswered[Int(context)] = true
    let got = Span<UInt8>(_bytes: bytes)
    for place in 0..<8 where got[place] != UInt8(truncatingIfNeeded: context >> (8 * UInt(place))) {
      return false
    }
    for place in 8..<payload.count where got[place] != payload[place] { return false }
    return true
  }
}
