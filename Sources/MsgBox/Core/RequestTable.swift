/// A get of ours that waits for its reply.
struct WaitingGet: Vacant {
  var connection = Connection.noSlot
  var replyID: UInt16 = 0
  /// Nil towards an implicit peer, whose replies carry none.
  var messageID: UInt32?
  var context: UInt = 0
  var timer = TimerID.none
  var previous = Connection.noSlot
  var next = Connection.noSlot

  static var vacant: WaitingGet { WaitingGet() }
}

/// A request of the peer that our program has not answered yet.
struct OpenRequest: Vacant {
  var connection = Connection.noSlot
  var replyID: UInt16 = 0
  var messageID: UInt32?
  var previous = Connection.noSlot
  var next = Connection.noSlot

  static var vacant: OpenRequest { OpenRequest() }
}
