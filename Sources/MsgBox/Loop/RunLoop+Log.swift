import CMsgBox

extension RunLoop {
  /// Logs one line: `text`, and `number` behind it.
  func note(_ level: LogLevel, _ text: StaticString, _ number: Int? = nil) {
    guard logs(level) else { return }
    var line = LogLine()
    line.append(text)
    if let number { line.append(number) }
    write(level, line)
  }

  /// Logs an event: what opens and ends things at `info`, what fails at `warning`, messages at
  /// `debug`.
  @inline(never)
  func note(
    _ kind: EventKind, _ handle: Handle, _ status: Status = .ok, _ systemError: Int32 = 0
  ) {
    let level = level(of: kind)
    guard logs(level) else { return }
    var line = LogLine()
    unsafe line.append(cString: msg_event_name(UInt32(kind.rawValue)))
    if let (transport, address) = endpoint.address(of: handle), address != .unspecified {
      line.append(" ")
      line.append(address.text(transport))
    }
    if status != .ok {
      line.append(": ")
      unsafe line.append(cString: msg_status_text(status.rawValue))
    }
    if systemError != 0 {
      line.append(", error ")
      line.append(Int(systemError))
    }
    write(level, line)
  }

  /// Logs what was dropped since the last time, by reason.
  func noteDrops() {
    guard logs(.debug) else { return }
    let counters = endpoint.counters
    for reason in DropReason.allCases {
      let count = counters.dropped(reason) &- notedDrops.dropped(reason)
      guard count > 0 else { continue }
      var line = LogLine()
      line.append("dropped ")
      line.append(Int(clamping: count))
      line.append(": ")
      unsafe line.append(cString: msg_drop_text(UInt32(reason.rawValue)))
      write(.debug, line)
    }
    notedDrops = counters
  }

  private func level(of kind: EventKind) -> LogLevel {
    switch kind {
    case .message, .request, .reply, .writable, .delivered: .debug
    case .listeningError, .connectionSetupError, .connectionLost, .replyMissing, .undelivered,
      .error:
      .warning
    case .listening, .listeningEnded, .connectionSetup, .connectionReady, .connectionClosed: .info
    }
  }

  private func logs(_ level: LogLevel) -> Bool {
    log != nil && level.rawValue <= logLevel.rawValue
  }

  private func write(_ level: LogLevel, _ line: LogLine) {
    log?(level, line.bytes.span)
  }
}
