import CMsgBox

/// The boxes of one thread: where the C functions look every handle up.
final class ThreadBoxes {
  private var boxes: [UInt32: MessageBox] = [:]
  /// One of them.
  private var madeByDefault: MessageBox?

  /// Tells the process that made this from one that was forked from it.
  private let forks = cmsgbox_forks()

  /// Those of the calling thread; nil if it has none. A forked process has none: the sockets and
  /// connections of its parent's boxes are its parent's alone.
  static var current: ThreadBoxes? {
    guard let value = unsafe cmsgbox_tls_get() else { return nil }
    let boxes = unsafe Unmanaged<ThreadBoxes>.fromOpaque(value).takeUnretainedValue()
    return boxes.forks == cmsgbox_forks() ? boxes : nil
  }

  /// Those of the calling thread, which end with it, or with the process if it ends that.
  static var currentOrNew: ThreadBoxes {
    if let current { return current }
    let new = ThreadBoxes()
    unsafe end(cmsgbox_tls_get())
    unsafe cmsgbox_tls_set(Unmanaged.passRetained(new).toOpaque()) { value in
      unsafe ThreadBoxes.end(value)
    }
    cmsgbox_at_exit { ThreadBoxes.endCurrent() }
    return new
  }

  /// Ends the boxes of a thread that ends. Those that a forked process finds here of its parent
  /// are left alone for ever: to end them would send closes for the parent.
  private static func end(_ value: UnsafeMutableRawPointer?) {
    guard let value = unsafe value else { return }
    let reference = unsafe Unmanaged<ThreadBoxes>.fromOpaque(value)
    let boxes = unsafe reference.takeUnretainedValue()
    cmsgbox_set_latest_box(0, nil)
    cmsgbox_set_default_box(nil)
    if boxes.forks == cmsgbox_forks() {
      boxes.closeAll()
    } else if !boxes.boxes.isEmpty {
      return
    }
    unsafe reference.release()
  }

  /// Ends the boxes of the thread that ends the process.
  private static func endCurrent() {
    guard current != nil else { return }
    let value = unsafe cmsgbox_tls_get()
    cmsgbox_tls_set(nil, nil)
    unsafe end(value)
  }

  private func closeAll() {
    for box in boxes.values {
      box.loop.abandonTurn()
      box.close()
    }
  }

  /// Makes a box of this thread.
  func makeBox() throws(MessageError) -> MessageBox {
    let box = try MessageBox()
    boxes[box.number] = box
    return box
  }

  /// The default box of the calling thread, made on first use, and again on the first use after it
  /// was destroyed.
  static var defaultBox: MessageBox {
    @inline(__always) get throws(MessageError) {
      guard let known = unsafe cmsgbox_default_box() else { return try currentOrNew.findDefault() }
      return unsafe Unmanaged<MessageBox>.fromOpaque(known).takeUnretainedValue()
    }
  }

  @inline(never)
  private func findDefault() throws(MessageError) -> MessageBox {
    let box: MessageBox
    if let madeByDefault { box = madeByDefault } else { box = try makeBox() }
    madeByDefault = box
    unsafe cmsgbox_set_default_box(Unmanaged.passUnretained(box).toOpaque())
    return box
  }

  /// The box of that number, if it is this thread's.
  func find(_ number: UInt32) -> MessageBox? { boxes[number] }

  /// Ends a box; every handle of it is bad from here on.
  func destroy(_ box: MessageBox) {
    cmsgbox_set_latest_box(0, nil)
    boxes[box.number] = nil
    if madeByDefault === box {
      madeByDefault = nil
      cmsgbox_set_default_box(nil)
    }
    box.close()
  }
}

/// The box that a handle of any kind names, for the time of a call: its thread's table holds it, so
/// that a call need not. With one box per thread nothing else is ever looked up.
///
/// Nil if it has ended, never was, or is another thread's.
@inline(__always)
private func borrowedBox(_ number: UInt32) -> Unmanaged<MessageBox>? {
  guard let latest = unsafe cmsgbox_latest_box(number) else { return unsafe lookUp(number) }
  return unsafe Unmanaged.fromOpaque(latest)
}

@inline(never)
private func lookUp(_ number: UInt32) -> Unmanaged<MessageBox>? {
  guard let box = ThreadBoxes.current?.find(number) else { return nil }
  let found = unsafe Unmanaged.passUnretained(box)
  unsafe cmsgbox_set_latest_box(number, found.toOpaque())
  return unsafe found
}

/// Why a handle names no box of this thread: `wrongThread` if it is alive, but another thread's;
/// `badHandle` if it has ended or never was.
@inline(never)
private func whyNoBox(_ number: UInt32) -> Status {
  cmsgbox_box_is_registered(number) != 0 ? .wrongThread : .badHandle
}

/// Does something with the box that `id` names, which does not end that box, and answers with a
/// status code.
@inline(__always)
func status(_ id: UInt64, _ body: (MessageBox) -> Status) -> Int32 {
  let number = Handle(rawValue: id).box
  guard let box = unsafe borrowedBox(number) else { return whyNoBox(number).rawValue }
  return unsafe box._withUnsafeGuaranteedRef { body($0) }.rawValue
}

/// The box that a handle of any kind names.
///
/// - Throws: `wrongThread` if it is alive, but another thread's; `badHandle` if it has ended or
///   never was.
func findBox(_ id: UInt64) throws(MessageError) -> MessageBox {
  let number = Handle(rawValue: id).box
  if let box = unsafe borrowedBox(number) { return unsafe box.takeUnretainedValue() }
  throw MessageError(status: whyNoBox(number))
}

/// Does something with the box that `id` names and answers with a status code.
func answer(_ id: UInt64, _ body: (MessageBox) throws(MessageError) -> Void) -> Int32 {
  result(id) { box throws(MessageError) in
    try body(box)
    return Status.ok.rawValue
  }
}

/// Does something with the box that `id` names and answers with its result, or a status code.
func result(_ id: UInt64, _ body: (MessageBox) throws(MessageError) -> Int32) -> Int32 {
  do throws(MessageError) {
    return try body(findBox(id))
  } catch {
    return error.code.number
  }
}
