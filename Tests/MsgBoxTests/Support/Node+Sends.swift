import MsgBox

/// What a broadcast answered.
struct BroadcastReport {
  var status = Status.ok
  /// To how many it was queued.
  var queued = 0
  var skipped: [(handle: Handle, status: Status)] = []
}

/// The calls that send in more ways than plainly, watched by the guarantees.
extension Node {
  func send(_ bytes: [UInt8], to handle: Handle, options: SendOptions) -> Status {
    let status = queue(bytes.span, to: handle, options)
    guarantees.sends(handle, options, status)
    scheduleTurn()
    return status
  }

  /// As `MessageBox` does it: what is plain goes the short way.
  private func queue(
    _ message: Span<UInt8>, to handle: Handle, _ options: SendOptions
  ) -> Status {
    if options.isPlain {
      if !options.isAlone, endpoint.join(message, to: handle) { return .ok }
      if endpoint.pack(message, to: handle, isAlone: options.isAlone) { return .ok }
    }
    return endpoint.send(message, to: handle, options: options, at: now)
  }

  /// Sends reliably.
  func sendReliably(
    _ bytes: [UInt8], to handle: Handle, channel: UInt8 = 0, outcome context: UInt? = nil
  ) -> Status {
    send(bytes, to: handle, options: reliableOptions(channel: channel, outcome: context))
  }

  func broadcast(
    _ bytes: [UInt8], from listener: Handle, options: SendOptions = .init()
  ) -> BroadcastReport {
    var report = BroadcastReport()
    let result = endpoint.broadcast(bytes.span, from: listener, options: options, at: now) {
      report.skipped.append(($0, $1))
    }
    report.status = result.status
    if case .success(let count) = result { report.queued = count }
    guarantees.broadcasts(listener, options, report)
    scheduleTurn()
    return report
  }

  /// Sends to one connection of a listener; whom.
  func sendAny(
    _ bytes: [UInt8], from listener: Handle, options: SendOptions = .init()
  ) -> Result<Handle, Status> {
    let result = endpoint.sendAny(bytes.span, from: listener, options: options, at: now)
    if case .success(let handle) = result {
      guarantees.sends(handle, options, .ok)
    } else {
      guarantees.called("sendAny", listener, result.status)
    }
    scheduleTurn()
    return result
  }

  /// As `get`; what cancels it.
  func ask(
    _ bytes: [UInt8], from handle: Handle, context: UInt, timeout: Interval? = nil
  ) -> Result<Handle, Status> {
    let result = endpoint.get(
      bytes.span, from: handle, context: context, timeout: timeout, at: now)
    guarantees.called("get", handle, result.status)
    if case .success(let get) = result { guarantees.getBegan(handle, context, get) }
    scheduleTurn()
    return result
  }

  func cancel(get: Handle) -> Status {
    let status = endpoint.cancel(get: get, at: now)
    guarantees.cancelled(get, status)
    scheduleTurn()
    return status
  }

  func abort(_ handle: Handle) -> Status {
    let status = endpoint.abort(handle, at: now)
    guarantees.aborts(handle, status)
    scheduleTurn()
    return status
  }
}

/// How a message is sent that arrives; with a context, its outcome is told.
func reliableOptions(channel: UInt8 = 0, outcome context: UInt? = nil) -> SendOptions {
  var options = SendOptions()
  options.isReliable = true
  options.channel = channel
  options.wantsOutcome = context != nil
  options.context = context ?? 0
  return options
}
