import MsgBox
import Testing

/// Holds notes.md, the specification of the wire, and the lists of msgbox.h against the code.
@Suite struct NotesTests {
  let notes: Document
  let header: Document

  init() throws {
    notes = try Document("notes.md")
    header = try Document("include/msgbox.h")
  }

  @Test("The kinds are those of the codec, and the reserved ones are no kinds")
  func kinds() {
    let rows = notes.table(under: "Kinds")
    #expect(rows.compactMap { UInt8($0[0]) } == Array(0...15))
    for row in rows {
      guard row.count > 2, let number = UInt8(row[0]) else {
        Issue.record("a row of the kinds: \(row)")
        continue
      }
      if row[2] == "reserved" {
        #expect(PacketKind(rawValue: number) == nil, "kind \(number)")
      } else {
        #expect(PacketKind(rawValue: number).map { snakeCase("\($0)") } == row[1])
        let isAlone = row[2] == "alone"
        #expect(PacketKind(rawValue: number)?.isSolitary == isAlone, "kind \(number)")
      }
    }
    #expect(rows.count { $0[2] != "reserved" } == PacketKind.allCases.count)
  }

  @Test("The flags are those of the codec")
  func flags() {
    let flags: [String: PacketHeader.Flags] = [
      "S": .session, "L": .length, "F": .fragment, "O": .options,
    ]
    let rows = notes.table(under: "Flags")
    #expect(rows.count == flags.count)
    for row in rows {
      #expect(UInt16(row[1].dropFirst(2), radix: 16) == flags[row[0]]?.rawValue, "\(row)")
    }
  }

  @Test("The close reasons are those of the codec")
  func closeReasons() {
    let rows = notes.table(under: "Close reasons")
    #expect(rows.map { $0[0] } == CloseReason.allCases.map { "\($0.rawValue)" })
    #expect(rows.map { $0[1] } == CloseReason.allCases.map { snakeCase("\($0)") })
  }

  @Test("The drop reasons of the notes, of msgbox.h and of the code are the same")
  func dropReasons() {
    let rows = notes.table(under: "Drop reasons")
    let entries = header.entries(of: "MSG_DROP_MAP")
    #expect(entries.map(\.number) == DropReason.allCases.map { Int($0.rawValue) })
    #expect(entries.map { bareName($0.name) } == DropReason.allCases.map { bareName("\($0)") })
    #expect(rows.map { $0[0] } == entries.map { "\($0.number)" })
    #expect(rows.map { $0[1] } == entries.map(\.name))
    #expect(rows.map { $0[2] } == entries.map(\.text))
  }

  @Test("The status codes of msgbox.h and of the code are the same")
  func statusCodes() {
    let entries = header.entries(of: "MSG_STATUS_MAP")
    let names = entries.map { $0.name.hasPrefix("ERR_") ? $0.name.dropFirst(4) : $0.name[...] }
    #expect(entries.map(\.number) == Status.allCases.map { Int($0.rawValue) })
    for (name, status) in zip(names, Status.allCases) where status != .protocolError {
      #expect(bareName(String(name)) == bareName("\(status)"))
    }
  }

  @Test("Options and their defaults are those of the code", arguments: ["notes.md", "README.md"])
  func options(file: String) throws {
    let options = ConnectionOptions()
    let defaults: [(String, UInt64)] = [
      ("heartbeat_ms", options.heartbeat.millisecondsRoundedUp),
      ("suspect_ms", options.suspect.millisecondsRoundedUp),
      ("lost_ms", options.lost.millisecondsRoundedUp),
      ("connect_timeout_ms", options.connectTimeout.millisecondsRoundedUp),
      ("get_timeout_ms", options.getTimeout.millisecondsRoundedUp),
      ("reconnect_wait_ms", options.reconnectWait.millisecondsRoundedUp),
      ("max_message_bytes", UInt64(options.maxMessageBytes)),
      ("send_mark_messages", UInt64(options.sendMarkMessages)),
      ("send_mark_bytes", UInt64(options.sendMarkBytes)),
      ("max_connections", UInt64(options.maxConnections)),
      ("implicit_peers", options.implicitPeers ? 1 : 0),
      ("socket_buffer_bytes", UInt64(options.socketBufferBytes)),
      ("close_timeout_ms", options.closeTimeout.millisecondsRoundedUp),
      ("liveness", UInt64(options.liveness.rawValue)),
      ("keepalive_ms", options.keepalive.millisecondsRoundedUp),
      ("idle_keepalives", UInt64(options.idleKeepalives)),
      ("receive_mark_messages", UInt64(options.receiveMarkMessages)),
      ("receive_mark_bytes", UInt64(options.receiveMarkBytes)),
      ("share_port", options.sharePort ? 1 : 0),
      ("max_per_prefix", UInt64(options.maxPerPrefix)),
    ]
    let rows = try Document(file).table(under: "Options")
    #expect(rows.map { $0[0] } == defaults.map(\.0))
    #expect(rows.compactMap { UInt64($0[1]) } == defaults.map(\.1))
  }

  @Test("The numbers that are no options are those of the code")
  func fixedNumbers() {
    let configuration = EndpointConfiguration()
    let numbers: [(String, Int)] = [
      ("largest datagram", WireFormat.maxDatagram),
      ("largest payload of a lone one-way message over UDP", WireFormat.maxLonePayload),
      (
        "largest payload of a lone request or reply over UDP",
        WireFormat.maxLonePayload - WireFormat.messageIDSize
      ),
      ("payload of a fragment of a one-way message", WireFormat.oneWayFragment),
      ("payload of a fragment of a request or reply", WireFormat.requestFragment),
      ("payload of a fragment of a reliable message", WireFormat.reliableFragment),
      ("packets of a message", WireFormat.maxPackets),
      ("channel window", Int(WireFormat.channelWindow)),
      ("ranges of an ack", WireFormat.maxAckRanges),
      ("largest message over UDP unless set", WireFormat.defaultDatagramLargest),
      ("largest message over TCP unless set", WireFormat.defaultStreamLargest),
      ("largest message that may be set", WireFormat.maxMessage),
      ("what a frame may have besides its message", WireFormat.frameOverhead),
      ("least lost_after believed", Int(WireFormat.leastLostAfter)),
      ("pending hellos", configuration.maxPendingHellos),
      ("streams that were refused", configuration.maxRefusedStreams),
      ("connections of a source prefix unless set", SourcePrefixes.defaultLimit),
      ("peers without a session of a box", ImplicitPeers.most),
      ("datagrams that wait for a socket", CookieBudget.room * 4),
      ("tombstones", configuration.maxTombstones),
      ("open requests", configuration.maxOpenRequests),
      ("answers to strangers per source prefix", Int(AnswerBudget.perPrefix)),
      ("answers to strangers in all", Int(AnswerBudget.overall)),
      ("cookies per source prefix", Int(CookieBudget.perPrefix)),
    ]
    let rows = notes.table(under: "Fixed numbers")
    #expect(rows.map { $0[0] } == numbers.map(\.0))
    #expect(rows.compactMap { Int($0[1]) } == numbers.map(\.1))
  }
}
