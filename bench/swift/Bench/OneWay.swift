import CBench
import MsgBox

/// One-way messages, many in each turn.
final class OneWay {
  private let workload: Workload
  private let box: MessageBox
  private let connection: Connection
  private let payload: [UInt8]
  private var isBlocked = false
  private var failure: MessageError?

  /// Connects. Over TCP the queue is to be hit: it is what holds the sender back.
  init(_ workload: Workload) throws {
    self.workload = workload
    box = try MessageBox()
    var options = workload.options
    if workload.transport == "tcp" {
      options.sendMarkMessages = 4096
      options.sendMarkBytes = 1 << 20
    }
    connection = try box.connect(to: workload.address, options: options)
    payload = [UInt8](repeating: 7, count: workload.size)
  }

  /// Sends all and prints what arrived.
  func measure() throws {
    try waitForSetup(box)
    let isUDP = workload.transport == "udp"
    let usual = isUDP && workload.window > 0 ? max(workload.window / 4, 1) : 1000
    let burst = unsafe env_u64("BENCH_BURST", usual)
    var sent: UInt64 = 0
    let cpu = cpu_ns()
    while sent < workload.count {
      let part = min(burst, workload.count - sent)
      if isUDP { window_wait(sent, part) }
      for _ in 0..<part { try sendOne() }
      sent += part
      try turn(.zero)
    }
    try deliver(sent, patience: isUDP ? 300_000_000 : 20_000_000_000)
    report_one_way(sent, cpu_ns() - cpu)
  }

  private func sendOne() throws {
    while true {
      do throws(MessageError) {
        try box.send(payload, to: connection)
        return
      } catch {
        guard error.code == .wouldBlock else { throw error }
        isBlocked = true
      }
      while isBlocked { try turn(.seconds(1)) }
    }
  }

  private func turn(_ timeout: Duration) throws {
    try box.run(timeout: timeout) { event in
      switch event {
      case .writable: isBlocked = false
      case .connectionClosed(_, let reason, _), .connectionLost(_, let reason, _, _):
        failure = reason
      default: break
      }
    }
    if let failure { throw Broken(reason: failure) }
  }

  /// What is queued still has to leave.
  private func deliver(_ sent: UInt64, patience: UInt64) throws {
    var last = server_count()
    var since = now_ns()
    while last < sent, now_ns() - since < patience {
      try turn(.milliseconds(1))
      guard server_count() != last else { continue }
      last = server_count()
      since = now_ns()
    }
  }
}
