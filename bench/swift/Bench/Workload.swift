import CBench
import MsgBox

/// What the command line and the environment ask for; `bench_begin` has checked that it is there.
struct Workload {
  /// Whether this is the server.
  let isServer: Bool
  /// `udp` or `tcp`.
  let transport: String
  /// `rr`, `pipe` or `ow`.
  let kind: String
  /// Bytes of a message.
  let size: Int
  /// Messages to send.
  let count: UInt64
  /// The server's port.
  let port: String
  /// Messages on their way of one-way UDP at most.
  let window = unsafe env_u64("BENCH_WIN", 1024)
  /// Requests outstanding.
  let outstanding = unsafe env_u64("BENCH_OUT", 64)

  /// Reads the command line.
  init(_ arguments: [String]) {
    let mode = arguments[2].split(separator: ".").map(String.init)
    isServer = arguments[1] == "server"
    transport = mode[0]
    kind = mode.count > 1 ? mode[1] : "ow"
    size = Int(arguments[3]) ?? 64
    count = UInt64(arguments[4]) ?? 0
    port = arguments[5]
  }

  /// Where the server listens.
  var address: String { "\(transport)://127.0.0.1:\(port)" }

  /// Options with marks that are not hit.
  var options: Options {
    var options = Options()
    options.sendMarkMessages = 1 << 20
    options.sendMarkBytes = 64 << 20
    options.getTimeout = .seconds(30)
    return options
  }
}

/// A connection that could not be, or ended.
struct Broken: Error {
  /// Why.
  let reason: MessageError
}

/// Waits in turns of `box` until `connection` is set up.
func waitForSetup(_ box: MessageBox) throws {
  var isSetUp = false
  var failure: MessageError?
  while !isSetUp {
    try box.run(timeout: .seconds(1)) { event in
      switch event {
      case .connectionSetup: isSetUp = true
      case .connectionSetupError(_, let error, _, _): failure = error
      default: break
      }
    }
    if let failure { throw Broken(reason: failure) }
  }
}
