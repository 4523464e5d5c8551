"""The exercise that Gatebook grew from, as its text describes it: Flask's own server, a connection for each request,
an INSERT, a SELECT of the last 25, a template. Written for this comparison; its defects are those of the original.
"""

import os
import socket
import sys
from datetime import datetime

import psycopg2
from flask import Flask, render_template, request

app = Flask(__name__)


def connect():
    return psycopg2.connect(
        host=os.environ["POSTGRES_HOST"],
        user=os.environ["POSTGRES_USER"],
        password=os.environ["POSTGRES_PASSWORD"],
        dbname=os.environ["POSTGRES_DB"],
    )


@app.route("/")
def index():
    replica = f"{socket.gethostname()}-{os.getpid()}"
    connection = connect()
    cursor = connection.cursor()
    cursor.execute(
        "INSERT INTO requests (time, address, replica) VALUES (%s, %s, %s)",
        (str(datetime.now()), request.remote_addr, replica),
    )
    connection.commit()
    cursor.execute("SELECT id, time, address, replica FROM requests ORDER BY id DESC LIMIT 25")
    rows = cursor.fetchall()
    cursor.close()
    connection.close()  # the original forgot to; it would run out of connections within a second
    return render_template("index.html", replica=replica, rows=rows)


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
