import CMsgBox
import MsgBox
import Testing

/// The numbers of the core against those of `msgbox.h`, which is where the ABI is written down.
@Suite("The header and the core")
struct HeaderTests {
  /// `connectionSetup` as C spells it: `connection_setup`.
  private func snake(_ name: String) -> String {
    var spelled = ""
    for character in name {
      if character.isUppercase { spelled += "_" }
      spelled += character.lowercased()
    }
    return spelled
  }

  private func statusName(_ number: Int32) -> String {
    unsafe String(cString: msg_status_name(number))
  }

  @Test("Every status has the number and name of the header, and none is missing")
  func statuses() {
    for number in Int32(-1000)...1000 {
      guard let status = Status(rawValue: number) else {
        #expect(statusName(number) == "UNKNOWN")
        continue
      }
      let name = snake(status == .protocolError ? "protocol" : "\(status)").uppercased()
      let prefix = number < 0 ? "ERR_" : ""
      #expect(statusName(number) == prefix + name)
    }
  }

  @Test("Every kind of event has the number and name of the header, and none is missing")
  func events() {
    for number in UInt32(0)...255 {
      let name = unsafe String(cString: msg_event_name(number))
      guard let kind = EventKind(rawValue: UInt8(number)) else {
        #expect(name == "unknown")
        continue
      }
      #expect(name == snake("\(kind)"))
    }
  }

  @Test("Every reason of a drop has the number and name of the header, here and in the public API")
  func drops() {
    for number in UInt32(0)...255 {
      guard let reason = DropReason(rawValue: UInt8(number)) else {
        #expect(unsafe msg_drop_name(number) == nil)
        #expect(Statistics.Drop(rawValue: UInt8(number)) == nil)
        continue
      }
      let expected = reason == .notMsgBox ? "NOT_MSGBOX" : snake("\(reason)").uppercased()
      #expect(unsafe String(cString: msg_drop_name(number)) == expected)
      let here = Statistics.Drop(rawValue: UInt8(number))
      #expect(here.map { "\($0)" } == "\(reason)")
      #expect(here?.text.isEmpty == false)
    }
    #expect(Statistics.Drop.allCases.count == DropReason.allCases.count)
    #expect(Counters().drops.count == DropReason.allCases.count)
  }

  @Test("The levels of the log are those of the header")
  func logLevels() {
    #expect(MessageBox.LogLevel.error.rawValue == UInt32(MSG_LOG_ERROR))
    #expect(MessageBox.LogLevel.warning.rawValue == UInt32(MSG_LOG_WARNING))
    #expect(MessageBox.LogLevel.info.rawValue == UInt32(MSG_LOG_INFO))
    #expect(MessageBox.LogLevel.debug.rawValue == UInt32(MSG_LOG_DEBUG))
    for level in MessageBox.LogLevel.allCases {
      #expect(MsgBox.LogLevel(rawValue: level.rawValue) != nil)
    }
  }

  @Test("The defaults of the options are those that the header and the README tell")
  func defaults() {
    let options = Options()
    #expect(options.heartbeat == .seconds(10))
    #expect(options.suspect == .seconds(15))
    #expect(options.lost == .seconds(30))
    #expect(options.connectTimeout == .seconds(10))
    #expect(options.getTimeout == .seconds(5))
    #expect(options.reconnectWait == .zero)
    #expect(options.maxMessageBytes == 0)
    #expect(options.sendMarkMessages == 1000)
    #expect(options.sendMarkBytes == 1_048_576)
    #expect(options.maxConnections == 1_000_000)
    #expect(options.implicitPeers == false)
    #expect(options.socketBufferBytes == 4_194_304)
    #expect(options.closeTimeout == .seconds(5))
    #expect(options.liveness == .beat)
    #expect(options.keepalive == .zero)
    #expect(options.idleKeepalives == 0)
    #expect(options.receiveMarkMessages == 65_536)
    #expect(options.receiveMarkBytes == 16_777_216)
    #expect(options.sharePort == false)
    #expect(options.maxPerPrefix == 0)
    let ofBox = BoxOptions()
    #expect(ofBox.sendMarkMessages == 262_144)
    #expect(ofBox.sendMarkBytes == 268_435_456)
    #expect(ofBox.receiveBytes == 268_435_456)
    #expect(ofBox.turnDatagrams == 1000)
    #expect(ofBox.spin == .zero)
  }

  @Test("The modes of liveness are those of the header")
  func liveness() {
    #expect(Liveness.beat.rawValue == UInt8(MSG_LIVENESS_BEAT))
    #expect(Liveness.onDemand.rawValue == UInt8(MSG_LIVENESS_ON_DEMAND))
  }

  @Test("Options keep what they are given")
  func roundTrips() {
    var options = Options()
    options.closeTimeout = .seconds(1)
    options.liveness = .onDemand
    options.keepalive = .seconds(25)
    options.idleKeepalives = 12
    options.receiveMarkMessages = 3
    options.receiveMarkBytes = 4
    options.sharePort = true
    options.maxPerPrefix = 5
    #expect(options.core.isValid)
    #expect(options.closeTimeout == .seconds(1))
    #expect(options.liveness == .onDemand)
    #expect(options.keepalive == .seconds(25))
    #expect(options.idleKeepalives == 12)
    #expect(options.receiveMarkMessages == 3)
    #expect(options.receiveMarkBytes == 4)
    #expect(options.sharePort)
    #expect(options.maxPerPrefix == 5)
    options.maxPerPrefix = 1_000_001
    #expect(!options.core.isValid)
    var ofBox = BoxOptions()
    ofBox.sendMarkMessages = 1
    ofBox.sendMarkBytes = 2
    ofBox.receiveBytes = 3
    ofBox.turnDatagrams = 4
    #expect(ofBox.core.isValid)
    #expect(ofBox.sendMarkMessages == 1)
    #expect(ofBox.sendMarkBytes == 2)
    #expect(ofBox.receiveBytes == 3)
    #expect(ofBox.turnDatagrams == 4)
    ofBox.turnDatagrams = 0
    #expect(!ofBox.core.isValid)
  }

  @Test("Options of a send that cannot be are invalid arguments")
  func sendOptions() throws {
    let bad: [MessageBox.SendOptions] = [
      .init(channel: 1), .init(tellsOutcome: true), .init(deadline: .zero),
      .init(deadline: .seconds(-1)), .init(deadline: .seconds(86401)),
    ]
    for options in bad {
      #expect(throws: MessageError(.invalidArgument)) { try options.core }
    }
    #expect(try MessageBox.SendOptions().core == SendOptions())
    var core = SendOptions()
    core.isReliable = true
    core.channel = 255
    #expect(try MessageBox.SendOptions.reliable(channel: 255).core == core)
    core.wantsOutcome = true
    core.context = 7
    core.key = 9
    core.deadline = .milliseconds(50)
    var options = MessageBox.SendOptions.reliable(channel: 255, tellingOutcomeTo: 7)
    options.key = 9
    options.deadline = .milliseconds(50)
    #expect(try options.core == core)
    options.isAlone = true
    #expect(try options.core != core)
    core.isAlone = true
    #expect(try options.core == core)
    var alone = SendOptions()
    alone.isAlone = true
    #expect(try MessageBox.SendOptions.alone.core == alone)
  }

  @Test("The version is that of the header")
  func version() {
    #expect(msg_version() == 1_000)
  }
}
