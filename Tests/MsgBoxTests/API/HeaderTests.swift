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
  }

  @Test("The version is that of the header")
  func version() {
    #expect(msg_version() == 1_000)
  }
}
